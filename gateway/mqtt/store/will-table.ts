/**
 * Wills on disk (MQTT 5, section 3.1.2.5): each belongs to one connection, waits for its end and then for its delay, and is
 * there until it has been published. Who publishes one claims it, so that of several processes one does.
 */
import type Database from 'better-sqlite3';
import type { GroupCommit } from './group-commit.ts';
import { propertiesOf, propertiesText } from './packet.ts';

export interface StoredWill {
  readonly topic: string;
  readonly payload: Buffer;
  readonly qos: number;
  readonly retain: boolean;
  readonly properties: Record<string, unknown> | undefined;
  /** Will Delay Interval, no longer than the session lasts. */
  readonly delayMs: number;
  /** In what its client spoke: for events that it leaves as its Will. */
  readonly protocol: string;
}

export interface DueWill extends StoredWill {
  readonly id: number;
  readonly clientId: string;
  readonly device: string;
  /** Whose connection left it. */
  readonly process: string;
}

interface Row {
  id: number;
  client_id: string;
  device: string;
  process: string;
  topic: string;
  payload: Buffer;
  qos: number;
  retain: number;
  properties: string | null;
  delay_ms: number;
  protocol: string;
}

/** One that was claimed and not published by then is due again: its process is gone. */
const claimMs = 60_000;
const dueAtOnce = 100;

export class WillTable {
  readonly #commit: GroupCommit;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(db: Database.Database, commit: GroupCommit) {
    this.#commit = commit;
    this.#statements = prepare(db);
  }

  /** Within a job. */
  put(clientId: string, epoch: number, device: string, process: string, will: StoredWill): void {
    const { topic, payload, qos, retain, properties, delayMs, protocol } = will;
    const row = [topic, payload, qos, retain ? 1 : 0, propertiesText(properties), delayMs, protocol];
    this.#statements.put.run(clientId, epoch, device, process, ...row);
  }

  /**
   * Within a job: there is a new connection. A Will without a delay leaves with the connection that had it; a delay that is
   * still running ends, with the Will or without it.
   */
  replaced(clientId: string, goesOn: boolean, nowMs: number): void {
    const { dropDelayed, dueNow } = this.#statements;
    if (goesOn) dropDelayed.run(clientId);
    else dueNow.run(nowMs, clientId, nowMs, nowMs);
  }

  /** The connection has ended without a goodbye: due after its delay, no later than its session ends. */
  due(clientId: string, epoch: number, expiryMs: number, nowMs: number): Promise<void> {
    return this.#commit.note(() => void this.#statements.due.run(nowMs, expiryMs, clientId, epoch));
  }

  /** It is not to be published. */
  drop(clientId: string, epoch: number): Promise<void> {
    return this.#commit.note(() => void this.#statements.drop.run(clientId, epoch));
  }

  /** Within a job; the names of processes as JSON. */
  abandonAllBut(processes: string, nowMs: number): void {
    this.#statements.abandon.run(nowMs, processes);
  }

  /** Within a job. */
  forgetClient(clientId: string): void {
    this.#statements.forgetClient.run(clientId);
  }

  /** Within a job. */
  forgetDevice(device: string): void {
    this.#statements.forgetDevice.run(device);
  }

  /** Whether one is due; without a transaction. */
  hasDue(nowMs: number): boolean {
    return this.#statements.anyDue.get(nowMs) !== undefined;
  }

  /** Claims what is due: to be published, then `published`. */
  claim(nowMs: number): Promise<DueWill[]> {
    return this.#commit.note(() => {
      const { allDue, claim } = this.#statements;
      const rows = allDue.all(nowMs, dueAtOnce);
      for (const { id } of rows) claim.run(nowMs + claimMs, id);
      return rows.map(willOf);
    });
  }

  published(id: number): Promise<void> {
    return this.#commit.note(() => void this.#statements.published.run(id));
  }

  /** For the broker's library, which knows one Will a client and no connections. */
  replace(
    clientId: string,
    process: string,
    { topic, payload, qos, retain }: Pick<StoredWill, 'topic' | 'payload' | 'qos' | 'retain'>,
  ): Promise<void> {
    return this.#commit.write(() => {
      this.#statements.forgetClient.run(clientId);
      const will = { topic, payload, qos, retain, properties: undefined, delayMs: 0, protocol: 'mqtt' };
      this.put(clientId, 0, '', process, will);
    });
  }

  ofClient(clientId: string): Promise<DueWill | undefined> {
    return this.#commit.note(() => {
      const row = this.#statements.ofClient.get(clientId);
      return row && willOf(row);
    });
  }

  all(): Promise<DueWill[]> {
    return this.#commit.note(() => this.#statements.all.all().map(willOf));
  }
}

function prepare(db: Database.Database) {
  const columns =
    'id, client_id, device, process, topic, payload, qos, retain, properties, delay_ms, protocol';
  return {
    put: db.prepare(
      `INSERT INTO wills (client_id, epoch, device, process, topic, payload, qos, retain, properties, delay_ms, protocol)
       VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
    ),
    dropDelayed: db.prepare('DELETE FROM wills WHERE client_id = ? AND delay_ms > 0'),
    dueNow: db.prepare(
      'UPDATE wills SET due_ms = ? WHERE client_id = ? AND delay_ms > 0 AND coalesce(due_ms, ?) >= ?',
    ),
    due: db.prepare(
      'UPDATE wills SET due_ms = ? + min(delay_ms, ?) WHERE client_id = ? AND epoch = ? AND due_ms IS NULL',
    ),
    drop: db.prepare('DELETE FROM wills WHERE client_id = ? AND epoch = ?'),
    abandon: db.prepare(`UPDATE wills SET due_ms = ? + delay_ms
      WHERE due_ms IS NULL AND process NOT IN (SELECT value FROM json_each(?))`),
    forgetClient: db.prepare('DELETE FROM wills WHERE client_id = ?'),
    forgetDevice: db.prepare('DELETE FROM wills WHERE device = ?'),
    anyDue: db.prepare<[number], number>('SELECT id FROM wills WHERE due_ms <= ? LIMIT 1').pluck(),
    allDue: db.prepare<[number, number], Row>(
      `SELECT ${columns} FROM wills WHERE due_ms <= ? ORDER BY due_ms LIMIT ?`,
    ),
    claim: db.prepare('UPDATE wills SET due_ms = ?, delay_ms = 0 WHERE id = ?'),
    published: db.prepare('DELETE FROM wills WHERE id = ?'),
    ofClient: db.prepare<[string], Row>(
      `SELECT ${columns} FROM wills WHERE client_id = ? ORDER BY id DESC LIMIT 1`,
    ),
    all: db.prepare<[], Row>(`SELECT ${columns} FROM wills`),
  };
}

const willOf = (row: Row): DueWill => ({
  id: row.id,
  clientId: row.client_id,
  device: row.device,
  process: row.process,
  topic: row.topic,
  payload: row.payload,
  qos: row.qos,
  retain: row.retain === 1,
  properties: propertiesOf(row.properties),
  delayMs: row.delay_ms,
  protocol: row.protocol,
});
