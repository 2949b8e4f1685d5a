/** The subscriptions of sessions that are kept, on disk; who a topic is for is the index's to say. */
import type Database from 'better-sqlite3';
import type { Statement } from 'better-sqlite3';
import type { GroupCommit } from './group-commit.ts';
import type { KeptSubscription } from './kept-filters.ts';
import { type KeptSessions, subscriptionOf } from './kept-sessions.ts';

export type Subscription = Omit<KeptSubscription, 'clientId'>;

type Row = Parameters<typeof subscriptionOf>[0];

export class SubscriptionTable {
  readonly #commit: GroupCommit;
  readonly #index: KeptSessions;
  readonly #put: Statement;
  readonly #remove: Statement;
  readonly #clear: Statement;
  readonly #of: Statement<[string], Row>;
  readonly #clients: Statement<[string], string>;

  constructor(db: Database.Database, commit: GroupCommit, index: KeptSessions) {
    this.#commit = commit;
    this.#index = index;
    this.#put = db.prepare(`
      INSERT INTO subscriptions VALUES (?, ?, ?, ?, ?, ?, ?)
      ON CONFLICT DO UPDATE SET qos = excluded.qos, no_local = excluded.no_local, as_published = excluded.as_published,
        retain_handling = excluded.retain_handling, identifier = excluded.identifier
      WHERE (qos, no_local, as_published, retain_handling, identifier) IS NOT
        (excluded.qos, excluded.no_local, excluded.as_published, excluded.retain_handling, excluded.identifier)`);
    this.#remove = db.prepare('DELETE FROM subscriptions WHERE client_id = ? AND filter = ?');
    this.#clear = db.prepare('DELETE FROM subscriptions WHERE client_id = ?');
    this.#of = db.prepare('SELECT * FROM subscriptions WHERE client_id = ?');
    this.#clients = db
      .prepare<[string], string>('SELECT client_id FROM subscriptions WHERE filter = ? ORDER BY client_id')
      .pluck();
  }

  add(clientId: string, subscriptions: readonly Subscription[]): Promise<void> {
    return this.#commit.write(() => {
      let changes = 0;
      for (const { topic, qos, nl, rap, rh, subscriptionIdentifier } of subscriptions) {
        const flags = [bit(nl), bit(rap), rh ?? null, subscriptionIdentifier ?? null];
        changes += this.#put.run(clientId, topic, qos, ...flags).changes;
      }
      if (changes > 0) this.#changed(clientId);
    });
  }

  remove(clientId: string, filters: readonly string[]): Promise<void> {
    return this.#commit.write(() => {
      let changes = 0;
      for (const filter of filters) changes += this.#remove.run(clientId, filter).changes;
      if (changes > 0) this.#changed(clientId);
    });
  }

  clear(clientId: string): Promise<void> {
    return this.#commit.write(() => {
      if (this.#clear.run(clientId).changes > 0) this.#changed(clientId);
    });
  }

  of(clientId: string): Promise<Subscription[]> {
    return this.#commit.note(() => this.#of.all(clientId).map(subscriptionOf));
  }

  clientsOf(filter: string): Promise<string[]> {
    return this.#commit.note(() => this.#clients.all(filter));
  }

  #changed(clientId: string): void {
    this.#index.log(clientId);
    this.#commit.afterwards(() => this.#index.reload(clientId));
  }
}

const bit = (flag: boolean | undefined): number | null => (flag === undefined ? null : flag ? 1 : 0);
