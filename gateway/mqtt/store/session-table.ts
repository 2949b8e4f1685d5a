/**
 * Sessions that outlive their connections (MQTT 5, section 4.1): whose they are, which connection has them, and when they
 * end. A connection is known by its epoch, which grows with each over all processes: one that is late has no say.
 */
import type Database from 'better-sqlite3';
import type { GroupCommit } from './group-commit.ts';
import type { KeptSessions } from './kept-sessions.ts';
import type { MessageQueue } from './message-queue.ts';
import type { StoredWill, WillTable } from './will-table.ts';

export interface Arrival {
  readonly clientId: string;
  readonly device: string;
  readonly fingerprint: string;
  /** Clean Session of 3.1.1, Clean Start of 5. */
  readonly clean: boolean;
  /** How long the session outlives this connection; 0 when it ends with it. */
  readonly expiryMs: number;
  readonly will: StoredWill | null;
}

export interface Taken {
  /** Session Present of CONNACK. */
  readonly present: boolean;
  readonly epoch: number;
}

interface Row {
  device: string;
  epoch: number;
  ends_ms: number | null;
}

/** Sessions that end in one job. */
const endsAtOnce = 250;

export class SessionTable {
  readonly #commit: GroupCommit;
  readonly #index: KeptSessions;
  readonly #queue: MessageQueue;
  readonly #wills: WillTable;
  readonly #process: string;
  readonly #statements: ReturnType<typeof prepare>;

  constructor(parts: {
    db: Database.Database;
    commit: GroupCommit;
    index: KeptSessions;
    queue: MessageQueue;
    wills: WillTable;
    /** Name of this process among those that share the file; the same after a restart. */
    process: string;
  }) {
    this.#commit = parts.commit;
    this.#index = parts.index;
    this.#queue = parts.queue;
    this.#wills = parts.wills;
    this.#process = parts.process;
    this.#statements = prepare(parts.db);
  }

  /**
   * A CONNECT: the stored session goes on if there is one and it is of the same device, else what there was is gone. The
   * Will of the connection before leaves, unless the session goes on before its delay is over (section 3.1.3.2.2).
   */
  open(arrival: Arrival, nowMs: number): Promise<Taken> {
    return this.#commit.write(() => {
      const { clientId, device, fingerprint, clean, expiryMs, will } = arrival;
      const { find, epoch: nextEpoch, put } = this.#statements;
      const epoch = nextEpoch.get()!;
      const row = find.get(clientId);
      const present =
        row !== undefined && !clean && row.device === device && (row.ends_ms ?? nowMs + 1) > nowMs;
      this.#wills.replaced(clientId, present, nowMs);
      if (row && !present) this.#wipe(clientId);
      if (present || expiryMs > 0) {
        put.run(clientId, device, fingerprint, this.#process, epoch, expiryMs);
        if (!present) this.#changed(clientId);
      }
      if (will) this.#wills.put(clientId, epoch, device, this.#process, will);
      return { present, epoch };
    });
  }

  /** The connection is over; the session ends so much later, or now. Does nothing when another has taken it over. */
  left(clientId: string, epoch: number, expiryMs: number, nowMs: number): Promise<void> {
    return this.#commit.note(() => {
      const { find, away } = this.#statements;
      if (find.get(clientId)?.epoch !== epoch) return;
      if (expiryMs === 0) this.#wipe(clientId);
      else away.run(expiryMs, nowMs + expiryMs, clientId);
    });
  }

  /** Connections of processes that are not among these are over as of now; the Wills that they had are due. */
  abandonAllBut(processes: readonly string[], nowMs: number): Promise<void> {
    const alive = JSON.stringify(processes);
    return this.#commit.write(() => {
      this.#statements.abandon.run(nowMs, alive);
      this.#wills.abandonAllBut(alive, nowMs);
    });
  }

  /** Ends what has expired; true when there may be more. */
  expire(nowMs: number): Promise<boolean> {
    return this.#commit.note(() => {
      const ended = this.#statements.ended.all(nowMs, endsAtOnce);
      for (const clientId of ended) this.#wipe(clientId);
      return ended.length === endsAtOnce;
    });
  }

  /** Whether something has expired; without a transaction. */
  hasExpired(nowMs: number): boolean {
    return this.#statements.ended.get(nowMs, 1) !== undefined;
  }

  /** A device is gone for good, or a certificate of it is: nothing of its sessions is left. */
  forget(of: { device: string } | { fingerprint: string }): Promise<void> {
    return this.#commit.write(() => {
      const { ofDevice, ofCertificate } = this.#statements;
      const sessions = 'device' in of ? ofDevice.all(of.device) : ofCertificate.all(of.fingerprint);
      for (const clientId of sessions) {
        this.#wills.forgetClient(clientId);
        this.#wipe(clientId);
      }
      if ('device' in of) this.#wills.forgetDevice(of.device);
    });
  }

  /** Devices that have sessions here. */
  devices(): string[] {
    return this.#statements.devices.all();
  }

  #wipe(clientId: string): void {
    const { clearSubscriptions, clearIncoming, drop } = this.#statements;
    clearSubscriptions.run(clientId);
    clearIncoming.run(clientId);
    this.#queue.clear(clientId);
    drop.run(clientId);
    this.#changed(clientId);
  }

  #changed(clientId: string): void {
    this.#index.log(clientId);
    this.#commit.afterwards(() => this.#index.reload(clientId));
  }
}

function prepare(db: Database.Database) {
  return {
    find: db.prepare<[string], Row>('SELECT device, epoch, ends_ms FROM sessions WHERE client_id = ?'),
    epoch: db.prepare<[], number>('UPDATE store SET beat = beat + 1 RETURNING beat').pluck(),
    put: db.prepare(`INSERT INTO sessions VALUES (?, ?, ?, ?, ?, ?, NULL) ON CONFLICT DO UPDATE
      SET fingerprint = excluded.fingerprint, process = excluded.process, epoch = excluded.epoch,
        expiry_ms = excluded.expiry_ms, ends_ms = NULL`),
    away: db.prepare('UPDATE sessions SET process = NULL, expiry_ms = ?, ends_ms = ? WHERE client_id = ?'),
    abandon: db.prepare(`UPDATE sessions SET process = NULL, ends_ms = ? + expiry_ms
      WHERE process IS NOT NULL AND process NOT IN (SELECT value FROM json_each(?))`),
    ended: db
      .prepare<[number, number], string>('SELECT client_id FROM sessions WHERE ends_ms <= ? LIMIT ?')
      .pluck(),
    ofDevice: db.prepare<[string], string>('SELECT client_id FROM sessions WHERE device = ?').pluck(),
    ofCertificate: db
      .prepare<[string], string>('SELECT client_id FROM sessions WHERE fingerprint = ?')
      .pluck(),
    devices: db.prepare<[], string>('SELECT DISTINCT device FROM sessions').pluck(),
    clearSubscriptions: db.prepare('DELETE FROM subscriptions WHERE client_id = ?'),
    clearIncoming: db.prepare('DELETE FROM incoming WHERE client_id = ?'),
    drop: db.prepare('DELETE FROM sessions WHERE client_id = ?'),
  };
}
