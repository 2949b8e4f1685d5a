/** Messages of QoS 2 that sessions are sending and have not released. For the broker's library: at this gateway they are the front's. */
import type Database from 'better-sqlite3';
import type { Statement } from 'better-sqlite3';
import type { GroupCommit } from './group-commit.ts';
import { type BrokerPacket, propertiesOf, propertiesText } from './packet.ts';

interface Row {
  packet: number;
  topic: string;
  payload: Buffer | string;
  qos: number;
  retain: number;
  properties: string | null;
}

export class IncomingTable {
  readonly #commit: GroupCommit;
  readonly #put: Statement;
  readonly #find: Statement<[string, number], Row>;
  readonly #drop: Statement;

  constructor(db: Database.Database, commit: GroupCommit) {
    this.#commit = commit;
    this.#put = db.prepare('INSERT OR REPLACE INTO incoming VALUES (?, ?, ?, ?, ?, ?, ?)');
    this.#find = db.prepare('SELECT * FROM incoming WHERE client_id = ? AND packet = ?');
    this.#drop = db.prepare('DELETE FROM incoming WHERE client_id = ? AND packet = ?');
  }

  put(clientId: string, { messageId, topic, payload, qos, retain, properties }: BrokerPacket): Promise<void> {
    const row = [clientId, messageId, topic, payload, qos, retain ? 1 : 0, propertiesText(properties)];
    return this.#commit.write(() => void this.#put.run(...row));
  }

  find(clientId: string, packetId: number): Promise<BrokerPacket | undefined> {
    return this.#commit.note(() => {
      const row = this.#find.get(clientId, packetId);
      if (!row) return undefined;
      const { topic, payload, qos, packet } = row;
      const properties = propertiesOf(row.properties);
      const found = {
        cmd: 'publish',
        topic,
        payload,
        qos,
        retain: row.retain === 1,
        dup: false,
        messageId: packet,
      };
      return properties ? { ...found, properties } : found;
    });
  }

  drop(clientId: string, packetId: number): Promise<boolean> {
    return this.#commit.write(() => this.#drop.run(clientId, packetId).changes > 0);
  }
}
