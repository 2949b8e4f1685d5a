/**
 * What is asked of the sessions all the time, in memory: which are kept, and for which a topic is kept. It follows the
 * file: after a commit of ours, and when `data_version` says that another process has written.
 */
import type Database from 'better-sqlite3';
import type { Statement } from 'better-sqlite3';
import { KeptFilters, type KeptSubscription } from './kept-filters.ts';

interface SubscriptionRow {
  client_id: string;
  filter: string;
  qos: 0 | 1 | 2;
  no_local: number | null;
  as_published: number | null;
  retain_handling: number | null;
  identifier: number | null;
}

/** Told of the filters of a session, none when it is gone. */
export type Followed = (clientId: string, filters: readonly string[]) => void;

/** Entries of `changes` that are left for processes that have not read them; who is further behind reads everything. */
const changesKept = 10_000;

export class KeptSessions {
  readonly #kept = new Set<string>();
  readonly #filters = new Map<string, readonly string[]>();
  readonly #index = new KeptFilters();
  readonly #dataVersion: Statement<[], number>;
  readonly #changed: Statement<[number], { seq: number; client_id: string }>;
  readonly #span: Statement<[], { first: number | null; last: number | null }>;
  readonly #session: Statement<[string], number>;
  readonly #subscriptions: Statement<[string], SubscriptionRow>;
  readonly #allSessions: Statement<[], string>;
  readonly #allSubscriptions: Statement<[], SubscriptionRow>;
  readonly #trim: Statement<[number]>;
  readonly #log: Statement<[string]>;
  readonly #shared: boolean;
  #version = -1;
  #seq = 0;
  /** Set by who wants to hear; called for every session once when it is set. */
  #followed: Followed = () => {};

  /** `shared` when other processes may have the file open. */
  constructor(db: Database.Database, shared: boolean) {
    this.#shared = shared;
    this.#dataVersion = db.prepare<[], number>('PRAGMA data_version').pluck();
    this.#changed = db.prepare('SELECT seq, client_id FROM changes WHERE seq > ? ORDER BY seq');
    this.#span = db.prepare('SELECT min(seq) AS first, max(seq) AS last FROM changes');
    this.#session = db.prepare<[string], number>('SELECT 1 FROM sessions WHERE client_id = ?').pluck();
    this.#subscriptions = db.prepare('SELECT * FROM subscriptions WHERE client_id = ?');
    this.#allSessions = db.prepare<[], string>('SELECT client_id FROM sessions').pluck();
    this.#allSubscriptions = db.prepare('SELECT * FROM subscriptions ORDER BY client_id');
    this.#trim = db.prepare('DELETE FROM changes WHERE seq <= ?');
    this.#log = db.prepare('INSERT INTO changes (client_id) VALUES (?)');
    this.#loadAll();
  }

  /** From now on; and at once of what there is. */
  follow(followed: Followed): void {
    this.#followed = followed;
    for (const [clientId, filters] of this.#filters) followed(clientId, filters);
  }

  /** Every subscription that is kept, by session. */
  *subscriptions(): Generator<[string, Omit<KeptSubscription, 'clientId'>[]]> {
    for (const clientId of this.#filters.keys())
      yield [clientId, this.#subscriptions.all(clientId).map(subscriptionOf)];
  }

  has(clientId: string): boolean {
    this.#catchUp();
    return this.#kept.has(clientId);
  }

  get sessions(): number {
    this.#catchUp();
    return this.#kept.size;
  }

  /** Sessions with subscriptions, and subscriptions of QoS 1 and 2. */
  counts(): { clientsCount: number; subsCount: number } {
    return { clientsCount: this.#filters.size, subsCount: this.#index.size };
  }

  match(topic: string): KeptSubscription[] {
    this.#catchUp();
    return this.#index.match(topic);
  }

  /** Within a transaction that changes a session or its subscriptions: what tells other processes. */
  log(clientId: string): void {
    this.#log.run(clientId);
  }

  /** Reads one session anew, once its change is committed. */
  reload(clientId: string): void {
    if (this.#session.get(clientId) === undefined) this.#kept.delete(clientId);
    else this.#kept.add(clientId);
    this.#put(clientId, this.#subscriptions.all(clientId));
  }

  /** Within a transaction: drops what every process has had time to read. */
  trim(): void {
    const { last } = this.#span.get()!;
    if (last !== null) this.#trim.run(last - changesKept);
  }

  #catchUp(): void {
    if (!this.#shared) return;
    const version = this.#dataVersion.get()!;
    if (version === this.#version) return;
    const { first } = this.#span.get()!;
    if (first !== null && first > this.#seq + 1) this.#loadAll();
    else {
      const changed = this.#changed.all(this.#seq);
      this.#seq = changed.at(-1)?.seq ?? this.#seq;
      for (const clientId of new Set(changed.map(({ client_id }) => client_id))) this.reload(clientId);
    }
    this.#version = version;
  }

  #loadAll(): void {
    this.#version = this.#dataVersion.get()!;
    this.#seq = this.#span.get()!.last ?? 0;
    this.#kept.clear();
    for (const clientId of this.#allSessions.iterate()) this.#kept.add(clientId);
    const gone = new Set(this.#filters.keys());
    let rows: SubscriptionRow[] = [];
    const flush = () => {
      const clientId = rows[0]?.client_id;
      if (clientId === undefined) return;
      gone.delete(clientId);
      this.#put(clientId, rows);
      rows = [];
    };
    for (const row of this.#allSubscriptions.iterate()) {
      if (row.client_id !== rows[0]?.client_id) flush();
      rows.push(row);
    }
    flush();
    for (const clientId of gone) this.#put(clientId, []);
  }

  #put(clientId: string, rows: readonly SubscriptionRow[]): void {
    const before = this.#filters.get(clientId);
    for (const filter of before ?? []) this.#index.remove(filter, clientId);
    for (const row of rows) if (row.qos > 0) this.#index.add({ clientId, ...subscriptionOf(row) });
    const filters = rows.map(({ filter }) => filter);
    if (filters.length > 0) this.#filters.set(clientId, filters);
    else this.#filters.delete(clientId);
    if (before !== undefined || filters.length > 0) this.#followed(clientId, filters);
  }
}

/** As the broker has it. */
export function subscriptionOf(row: SubscriptionRow): Omit<KeptSubscription, 'clientId'> {
  const flag = (value: number | null) => (value === null ? undefined : value === 1);
  return {
    topic: row.filter,
    qos: row.qos,
    rh: row.retain_handling ?? undefined,
    rap: flag(row.as_published),
    nl: flag(row.no_local),
    ...(row.identifier === null ? {} : { subscriptionIdentifier: row.identifier }),
  };
}
