/**
 * Messages of QoS 1 and 2 on their way to sessions that are kept: stored before they are acknowledged to whoever published
 * them, in their order, until the session has acknowledged them. Bounded for each session.
 */
import type Database from 'better-sqlite3';
import type { GroupCommit } from './group-commit.ts';
import { type BrokerPacket, propertiesOf, propertiesText, sizeOf } from './packet.ts';

/** For whom a message is to be kept. */
export interface Reader {
  readonly clientId: string;
  readonly qos?: number;
  readonly rap?: boolean | undefined;
  readonly nl?: boolean | undefined;
  readonly subscriptionIdentifier?: number | undefined;
}

export interface QueueLimits {
  readonly maxMessages: number;
  readonly maxBytes: number;
}

/** What a session is to be sent: a message, or the PUBREL of one that it has. */
export interface Queued {
  /** Its place; those after it have higher ones. */
  readonly place: number;
  readonly packet: BrokerPacket | { cmd: 'pubrel'; messageId: number };
}

interface QueueRow {
  message: number;
  qos: number;
  retain: number;
  identifiers: string | null;
  counter: number;
  bytes: number;
  packet: number | null;
  released: number;
  topic: string;
  payload: Buffer | string;
  properties: string | null;
  expires_ms: number | null;
  broker: string;
}

/** Readers that are served in one job: a message for many must not hold up the loop. */
const readersAtOnce = 250;

const queued = `
  SELECT q.message, q.qos, q.retain, q.identifiers, q.counter, q.bytes, q.packet, q.released, m.topic, m.payload,
    m.properties, m.expires_ms, m.broker
  FROM queue q JOIN messages m ON m.id = q.message`;

export class MessageQueue {
  readonly #commit: GroupCommit;
  readonly #limits: QueueLimits;
  readonly #statements: ReturnType<typeof prepare>;
  /** Messages that a session misses since too many are kept for it. */
  overflowed = 0;

  constructor(db: Database.Database, commit: GroupCommit, limits: QueueLimits) {
    this.#commit = commit;
    this.#limits = limits;
    this.#statements = prepare(db);
  }

  /** Keeps a message for each of them; resolves when it is durable. One that matches several filters gets it once. */
  async add(readers: readonly Reader[], packet: BrokerPacket): Promise<void> {
    const each = readersOf(readers, packet);
    if (each.length === 0) return;
    const properties = propertiesText(packet.properties);
    const bytes = sizeOf(packet.topic, packet.payload, properties);
    const message = { id: 0 };
    const jobs: Promise<void>[] = [];
    for (let from = 0; from < each.length; from += readersAtOnce) {
      const some = each.slice(from, from + readersAtOnce);
      jobs.push(
        this.#commit.write(() => this.#addSome(some, packet, properties, bytes, message), some.length),
      );
    }
    await Promise.all(jobs);
  }

  #addSome(
    readers: readonly KeptReader[],
    packet: BrokerPacket,
    properties: string | null,
    bytes: number,
    message: { id: number },
  ): void {
    const { count, insertMessage, insert, addReaders } = this.#statements;
    const { maxMessages, maxBytes } = this.#limits;
    const taken = readers.filter(({ clientId }) => {
      const fits = bytes <= maxBytes && count.run(clientId, bytes, maxMessages, maxBytes).changes === 1;
      if (!fits) this.#commit.afterwards(() => this.#miss());
      return fits;
    });
    if (taken.length === 0) return;
    const counter = packet.brokerCounter ?? 0;
    // The transaction of an earlier part may have been undone since.
    if (message.id === 0 || addReaders.run(taken.length, message.id).changes === 0) {
      const { topic, payload, messageExpiry, brokerId } = packet;
      const expires = messageExpiry ?? null;
      const row = [topic, payload, properties, expires, brokerId ?? '', counter, taken.length];
      message.id = Number(insertMessage.run(...row).lastInsertRowid);
    }
    for (const { clientId, qos, retain, identifiers } of taken)
      insert.run(clientId, message.id, qos, retain, identifiers, counter, bytes);
  }

  #miss(): void {
    this.overflowed += 1;
  }

  /**
   * The next of a session after a place, in order. What has expired and was not sent is left out (MQTT 5, section
   * 3.3.2.3.3).
   */
  page(clientId: string, after: number, limit: number, nowMs: number): Promise<Queued[]> {
    return this.#commit.note(() => {
      const { page } = this.#statements;
      let place = after;
      for (;;) {
        const rows = page.all(clientId, place, limit);
        const good = rows.filter((row) => {
          const expired = row.packet === null && row.expires_ms !== null && row.expires_ms <= nowMs;
          if (expired) this.#drop(clientId, row);
          return !expired;
        });
        if (good.length > 0 || rows.length < limit)
          return good.map((row) => ({ place: row.message, packet: packetOf(row) }));
        place = rows.at(-1)!.message;
      }
    });
  }

  /**
   * A message is about to be sent under this packet id; false when it is not kept. Durable when QoS 2 makes exactly one of
   * it: of QoS 1 a power cut may forget the id, not the message.
   */
  mark(clientId: string, packet: BrokerPacket): Promise<boolean> {
    const { brokerCounter = 0, brokerId, messageId, qos } = packet;
    const run = (): boolean => {
      const row = this.#statements.named.get(clientId, brokerCounter, brokerId ?? '');
      if (row) this.#statements.setPacket.run(messageId, clientId, row.message);
      return row !== undefined;
    };
    return qos === 2 ? this.#commit.write(run) : this.#commit.note(run);
  }

  /** PUBREC: from now on only its PUBREL is sent. False when there is no such packet. */
  release(clientId: string, packetId: number): Promise<boolean> {
    return this.#commit.write(() => this.#statements.release.run(clientId, packetId).changes > 0);
  }

  /** PUBACK or PUBCOMP: the session has it. */
  remove(clientId: string, packetId: number): Promise<BrokerPacket | undefined> {
    return this.#commit.note(() => {
      const row = this.#statements.ofPacket.get(clientId, packetId);
      if (!row) return undefined;
      this.#drop(clientId, row);
      return { ...messageOf(row), messageId: packetId };
    });
  }

  #drop(clientId: string, { message, bytes }: { message: number; bytes: number }): void {
    const { drop, lessReaders, dropMessage, uncount } = this.#statements;
    drop.run(clientId, message);
    if (dropMessage.run(message).changes === 0) lessReaders.run(message);
    uncount.run(bytes, clientId);
  }

  /** Within a job: the session is gone. */
  clear(clientId: string): void {
    const { clearMessages, clearReaders, clear, clearBacklog } = this.#statements;
    clearMessages.run(clientId);
    clearReaders.run(clientId);
    clear.run(clientId);
    clearBacklog.run(clientId);
  }

  /** Within a job: drops what has expired and was not sent yet, so many at once. */
  expire(nowMs: number, limit: number): void {
    for (const row of this.#statements.expired.all(nowMs, limit)) this.#drop(row.client_id, row);
  }

  /** Messages that wait for sessions. */
  count(): number {
    return this.#statements.total.get() ?? 0;
  }
}

interface KeptReader {
  readonly clientId: string;
  readonly qos: number;
  readonly retain: number;
  readonly identifiers: string | null;
}

/** By session: the highest QoS of its filters that match, but not more than the publisher's [MQTT-3.8.4-8]. */
function readersOf(readers: readonly Reader[], packet: BrokerPacket): KeptReader[] {
  if (readers.length === 1) return ownOf(readers[0]!, packet) ? [] : [readerOf(readers, packet)];
  const byClient = new Map<string, Reader[]>();
  for (const reader of readers) {
    if (ownOf(reader, packet)) continue;
    const held = byClient.get(reader.clientId);
    if (held) held.push(reader);
    else byClient.set(reader.clientId, [reader]);
  }
  return [...byClient.values()].map((filters) => readerOf(filters, packet));
}

/** No Local: its own message is not for it [MQTT-3.8.3-3]. */
const ownOf = ({ nl, clientId }: Reader, packet: BrokerPacket): boolean =>
  nl === true && clientId === packet.clientId;

function readerOf(filters: readonly Reader[], packet: BrokerPacket): KeptReader {
  const identifiers = filters.flatMap(({ subscriptionIdentifier }) => subscriptionIdentifier ?? []);
  return {
    clientId: filters[0]!.clientId,
    qos: Math.min(packet.qos, Math.max(...filters.map(({ qos }) => qos ?? packet.qos))),
    retain: packet.retain && filters.some(({ rap }) => rap === true) ? 1 : 0, // [MQTT-3.3.1-12] [MQTT-3.3.1-13]
    identifiers: identifiers.length > 0 ? JSON.stringify(identifiers) : null,
  };
}

function messageOf(row: QueueRow): BrokerPacket {
  const properties = propertiesOf(row.properties);
  const identifiers = row.identifiers === null ? [] : (JSON.parse(row.identifiers) as number[]);
  // One alone is a number, as the packet library has it.
  const subscriptionIdentifier = identifiers.length > 1 ? identifiers : identifiers[0];
  return {
    cmd: 'publish',
    brokerId: row.broker,
    brokerCounter: row.counter,
    topic: row.topic,
    payload: row.payload,
    qos: row.qos,
    retain: row.retain === 1,
    dup: false,
    messageId: row.packet ?? undefined,
    ...(properties || identifiers.length > 0
      ? { properties: { ...properties, ...(identifiers.length > 0 ? { subscriptionIdentifier } : {}) } }
      : {}),
    ...(row.expires_ms === null ? {} : { messageExpiry: row.expires_ms }),
  };
}

const packetOf = (row: QueueRow): Queued['packet'] =>
  row.released === 1 ? { cmd: 'pubrel', messageId: row.packet! } : messageOf(row);

function prepare(db: Database.Database) {
  const mine = 'SELECT message FROM queue WHERE client_id = ?';
  return {
    count: db.prepare(`INSERT INTO backlog VALUES (?, 1, ?) ON CONFLICT DO UPDATE
      SET messages = messages + 1, bytes = bytes + excluded.bytes
      WHERE messages < ? AND bytes + excluded.bytes <= ?`),
    uncount: db.prepare('UPDATE backlog SET messages = messages - 1, bytes = bytes - ? WHERE client_id = ?'),
    insertMessage: db.prepare(
      'INSERT INTO messages (topic, payload, properties, expires_ms, broker, counter, readers) VALUES (?, ?, ?, ?, ?, ?, ?)',
    ),
    addReaders: db.prepare('UPDATE messages SET readers = readers + ? WHERE id = ?'),
    lessReaders: db.prepare('UPDATE messages SET readers = readers - 1 WHERE id = ?'),
    dropMessage: db.prepare('DELETE FROM messages WHERE id = ? AND readers <= 1'),
    insert: db.prepare('INSERT INTO queue VALUES (?, ?, ?, ?, ?, ?, ?, NULL, 0)'),
    drop: db.prepare('DELETE FROM queue WHERE client_id = ? AND message = ?'),
    page: db.prepare<[string, number, number], QueueRow>(
      `${queued} WHERE q.client_id = ? AND q.message > ? ORDER BY q.message LIMIT ?`,
    ),
    ofPacket: db.prepare<[string, number], QueueRow>(
      `${queued} WHERE q.client_id = ? AND q.packet = ? LIMIT 1`,
    ),
    named: db.prepare<[string, number, string], { message: number }>(
      `SELECT q.message FROM queue q JOIN messages m ON m.id = q.message
       WHERE q.client_id = ? AND q.counter = ? AND m.broker = ? LIMIT 1`,
    ),
    setPacket: db.prepare('UPDATE queue SET packet = ? WHERE client_id = ? AND message = ?'),
    release: db.prepare('UPDATE queue SET released = 1 WHERE client_id = ? AND packet = ?'),
    clearMessages: db.prepare(`DELETE FROM messages WHERE readers <= 1 AND id IN (${mine})`),
    clearReaders: db.prepare(`UPDATE messages SET readers = readers - 1 WHERE id IN (${mine})`),
    clear: db.prepare('DELETE FROM queue WHERE client_id = ?'),
    clearBacklog: db.prepare('DELETE FROM backlog WHERE client_id = ?'),
    expired: db.prepare<[number, number], { client_id: string; message: number; bytes: number }>(
      `SELECT q.client_id, q.message, q.bytes FROM messages m JOIN queue q ON q.message = m.id
       WHERE m.expires_ms <= ? AND q.packet IS NULL LIMIT ?`,
    ),
    total: db.prepare<[], number>('SELECT sum(messages) FROM backlog').pluck(),
  };
}
