/**
 * Retained messages (MQTT 5, section 3.3.1.3) and who left them: one is handed on only as long as its device may still
 * leave it there. What a revoked device has left would be heard by newcomers for ever otherwise (CVE-2018-12546).
 */
import type Database from 'better-sqlite3';
import { Fault } from '#common/fault.ts';
import { filterMatches } from '#common/topic-match.ts';
import type { GroupCommit } from './group-commit.ts';
import { type BrokerPacket, propertiesOf, propertiesText, sizeOf } from './packet.ts';

export interface RetainedLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

export type RetainedMessage = BrokerPacket & { device: string };

interface Row {
  topic: string;
  device: string;
  payload: Buffer | string;
  qos: number;
  properties: string | null;
  expires_ms: number | null;
  rest: string | null;
}

/** Topics that are looked at in one job. */
const topicsAtOnce = 200;

/** What is a column, or made anew when it is sent. */
const known = new Set(
  [
    'cmd topic payload qos retain dup properties messageExpiry brokerId brokerCounter messageId clientId nl',
  ].flatMap((names) => names.split(' ')),
);

export class RetainedTable {
  readonly #commit: GroupCommit;
  readonly #limits: RetainedLimits;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(db: Database.Database, commit: GroupCommit, limits: RetainedLimits) {
    this.#commit = commit;
    this.#limits = limits;
    this.#statements = prepare(db);
  }

  /**
   * Keeps a message instead of what its topic had; an empty one takes back what was there [MQTT-3.3.1-6]. Faults
   * `quota-exceeded`.
   */
  async put(device: string, packet: BrokerPacket): Promise<void> {
    const rest = Object.entries(packet).filter(([name]) => !known.has(name));
    const properties = propertiesText(packet.properties);
    const { topic, payload, qos, messageExpiry } = packet;
    const fits = await this.#commit.write(() => {
      const { bytesOf, totals, drop, put, count } = this.#statements;
      const before = bytesOf.get(topic);
      if (payload.length === 0) {
        if (before !== undefined) count.run(-drop.run(topic).changes, -before);
        return true;
      }
      const bytes = sizeOf(topic, payload, properties);
      const more = before === undefined ? 1 : 0;
      const { retained, retained_bytes } = totals.get()!;
      const { maxMessages, maxBytes } = this.#limits;
      if (retained + more > maxMessages || retained_bytes + bytes - (before ?? 0) > maxBytes) return false;
      const others = rest.length > 0 ? JSON.stringify(Object.fromEntries(rest)) : null;
      put.run(topic, device, payload, qos, properties, messageExpiry ?? null, bytes, others);
      count.run(more, bytes - (before ?? 0));
      return true;
    });
    if (!fits) throw new Fault('quota-exceeded', 'No more messages can be retained; take one back first.');
  }

  /** Those that a filter matches and that have not expired, by topic. */
  async *matching(filter: string, nowMs: number): AsyncGenerator<RetainedMessage> {
    const levels = filter.split('/');
    const fixed = levels
      .slice(0, levels.findIndex((level) => level === '+' || level === '#') >>> 0)
      .join('/');
    const isExact = fixed === filter;
    // Every topic that could match begins with what stands before the first wildcard; there may be none.
    const end = `${fixed}\u{10ffff}`;
    for (let from = fixed, first = true; ; first = false) {
      const { ofTopic, after, since } = this.#statements;
      const rows = await this.#commit.note(() =>
        isExact ? ofTopic.all(filter) : (first ? since : after).all(from, end, topicsAtOnce),
      );
      for (const row of rows) {
        const live = row.expires_ms === null || row.expires_ms > nowMs;
        if (live && filterMatches(levels, row.topic.split('/'))) yield messageOf(row);
      }
      if (isExact || rows.length < topicsAtOnce) return;
      from = rows.at(-1)!.topic;
    }
  }

  /** A device is gone for good. */
  forget(device: string): Promise<void> {
    return this.#commit.write(() => {
      for (const { topic, bytes } of this.#statements.ofDevice.all(device))
        this.#statements.count.run(-this.#statements.drop.run(topic).changes, -bytes);
    });
  }

  devices(): string[] {
    return this.#statements.devices.all();
  }

  /** Within a job: drops what has expired, so many at once. */
  expire(nowMs: number, limit: number): void {
    const { expired, drop, count } = this.#statements;
    for (const { topic, bytes } of expired.all(nowMs, limit)) count.run(-drop.run(topic).changes, -bytes);
  }

  count(): number {
    return this.#statements.totals.get()!.retained;
  }
}

function messageOf(row: Row): RetainedMessage {
  const properties = propertiesOf(row.properties);
  const message = {
    cmd: 'publish',
    topic: row.topic,
    payload: row.payload,
    qos: row.qos,
    retain: true,
    ...(properties ? { properties } : {}),
    ...(row.expires_ms === null ? {} : { messageExpiry: row.expires_ms }),
    ...(row.rest === null ? {} : (JSON.parse(row.rest) as object)),
  };
  // Not of the message: whoever compares or copies it does not see it.
  return Object.defineProperty(message as RetainedMessage, 'device', {
    value: row.device,
    enumerable: false,
  });
}

function prepare(db: Database.Database) {
  const range = (from: string) =>
    db.prepare<[string, string, number], Row>(
      `SELECT * FROM retained WHERE topic ${from} ? AND topic < ? ORDER BY topic LIMIT ?`,
    );
  return {
    bytesOf: db.prepare<[string], number>('SELECT bytes FROM retained WHERE topic = ?').pluck(),
    totals: db.prepare<[], { retained: number; retained_bytes: number }>(
      'SELECT retained, retained_bytes FROM store',
    ),
    count: db.prepare('UPDATE store SET retained = retained + ?, retained_bytes = retained_bytes + ?'),
    put: db.prepare('INSERT OR REPLACE INTO retained VALUES (?, ?, ?, ?, ?, ?, ?, ?)'),
    drop: db.prepare('DELETE FROM retained WHERE topic = ?'),
    ofTopic: db.prepare<[string], Row>('SELECT * FROM retained WHERE topic = ?'),
    since: range('>='),
    after: range('>'),
    ofDevice: db.prepare<[string], { topic: string; bytes: number }>(
      'SELECT topic, bytes FROM retained WHERE device = ?',
    ),
    devices: db.prepare<[], string>('SELECT DISTINCT device FROM retained').pluck(),
    expired: db.prepare<[number, number], { topic: string; bytes: number }>(
      'SELECT topic, bytes FROM retained WHERE expires_ms <= ? LIMIT ?',
    ),
  };
}
