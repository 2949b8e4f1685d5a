/**
 * The anchors as they are in the registry's table, and in memory for whoever has to judge a chain: who they are, on what
 * terms, and which CAs below them have been seen. What operators may do with them is the work of anchors.ts.
 */
import type { Kysely } from 'kysely';
import type { AnchorMode, IssuerEntry } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { parseDuration } from '#common/quantity.ts';
import { type Certificate, readCertificate } from '#common/x509/certificate.ts';
import { certificatePem, certificatesDer } from '#common/x509/pem.ts';
import { TrustedIssuers, type Vouched } from '#common/x509/trusted-issuers.ts';
import { issuerOf } from '../store/directory.ts';
import type { Tables } from '../store/tables.ts';
import type { Write, Writer } from '../store/writer.ts';
import type { AnchorTerms } from './anchor-terms.ts';
import { keyTag } from './foreign-path.ts';

/** An anchor as it is used. */
export interface Anchor {
  readonly id: string;
  readonly fleet: string;
  readonly mode: AnchorMode;
  /** PEM. */
  readonly certificate: string;
  readonly ca: Certificate;
  readonly terms: AnchorTerms;
  readonly maxStaleMs: number;
  readonly statusUntilMs: number | null;
  readonly createdMs: number;
}

/** What the table keeps beside the terms: PEM of CAs below the anchor, by the beginning of their key's hash. */
interface AnchorDocument {
  readonly terms: AnchorTerms;
  readonly seen: Readonly<Record<string, string>>;
}

/** CAs below one anchor that are remembered. Beyond, each device has to show its own. */
export const mostSeen = 256;

export const documentOf = (terms: AnchorTerms, seen: AnchorDocument['seen'] = {}): string =>
  JSON.stringify({ terms, seen } satisfies AnchorDocument);

type Row = Tables['issuers'];

export class AnchorRegister {
  readonly #read: Kysely<Tables>;
  readonly #writer: Writer;
  readonly #anchors = new Map<string, Anchor>();
  /** By anchor, then by key tag; the anchor itself under the empty one. */
  readonly #cas = new Map<string, Map<string, Certificate>>();
  readonly #issuers = new TrustedIssuers<Anchor>(() => [...this.#anchors.values()]);

  private constructor(read: Kysely<Tables>, writer: Writer) {
    this.#read = read;
    this.#writer = writer;
  }

  static async open(read: Kysely<Tables>, writer: Writer): Promise<AnchorRegister> {
    const register = new AnchorRegister(read, writer);
    const rows = await read
      .selectFrom('issuers')
      .selectAll()
      .where('kind', '=', 'foreign')
      .where('state', '!=', 'removed')
      .execute();
    for (const row of rows) register.take(row);
    return register;
  }

  /** Every anchor that is trusted. */
  get all(): readonly Anchor[] {
    return [...this.#anchors.values()];
  }

  find(id: string): Anchor | undefined {
    return this.#anchors.get(id);
  }

  /** Takes a row in as it is now, or out when it is removed. */
  take(row: Row): void {
    if (row.state === 'removed') {
      this.#anchors.delete(row.id);
      this.#cas.delete(row.id);
      return;
    }
    const { terms, seen } = JSON.parse(row.document) as AnchorDocument;
    const ca = readCertificate(certificatesDer(row.certificate)[0]!);
    this.#anchors.set(row.id, {
      id: row.id,
      fleet: row.fleet!,
      mode: row.mode!,
      certificate: row.certificate,
      ca,
      terms,
      maxStaleMs: parseDuration(terms.revocation.maxStale),
      statusUntilMs: row.status_until_ms,
      createdMs: row.created_ms,
    });
    const below = [terms.intermediates, ...Object.values(seen)].flatMap(certificatesDer).map(readCertificate);
    this.#cas.set(row.id, new Map([['', ca], ...below.map((each) => [keyTag(each), each] as const)]));
  }

  /** Who vouches for a chain, leaf first. Never throws. */
  validate(chain: readonly Buffer[], nowMs: number): Vouched<Anchor> {
    return this.#issuers.validate(chain, nowMs);
  }

  /** Whether somebody in the chain says that one of the anchors has issued it. */
  concerns(chain: readonly Buffer[]): boolean {
    return this.#issuers.concerns(chain);
  }

  /** A CA of an anchor by its key tag (foreign-path.ts); undefined when it was never seen. */
  ca(anchor: string, by: string): Certificate | undefined {
    return this.#cas.get(anchor)?.get(by);
  }

  cas(anchor: string): ReadonlyMap<string, Certificate> {
    return this.#cas.get(anchor) ?? new Map();
  }

  /** Remembers the CAs of a path that was found good. `path` is leaf, intermediates, anchor. */
  async learn(anchor: string, path: readonly Certificate[]): Promise<void> {
    const known = this.#cas.get(anchor);
    const fresh = path.slice(1, -1).filter((each) => known && !known.has(keyTag(each)));
    if (!known || fresh.length === 0 || known.size + fresh.length > mostSeen) return;
    for (const each of fresh) known.set(keyTag(each), each);
    await this.#writer.write(async (write) => {
      const row = await write
        .selectFrom('issuers')
        .select('document')
        .where('id', '=', anchor)
        .executeTakeFirst();
      if (!row) return;
      const { terms, seen } = JSON.parse(row.document) as AnchorDocument;
      const added = fresh.map((each) => [keyTag(each), certificatePem(each.der)]);
      const document = documentOf(terms, { ...seen, ...Object.fromEntries(added) });
      await write.updateTable('issuers').set({ document }).where('id', '=', anchor).execute();
    });
  }

  /** Sets until when the state of the anchor's certificates is known, in a transaction; the entry for the gateways. */
  async setStatus(write: Write, id: string, statusUntilMs: number | null): Promise<IssuerEntry | null> {
    const row = await write
      .updateTable('issuers')
      .set({ status_until_ms: statusUntilMs })
      .where('id', '=', id)
      .where('state', '!=', 'removed')
      .returningAll()
      .executeTakeFirst();
    return row ? issuerOf(row) : null;
  }

  /** The row of an anchor, whatever its state. */
  row(id: string): Promise<Row | undefined> {
    return this.#read
      .selectFrom('issuers')
      .selectAll()
      .where('id', '=', id)
      .where('kind', '=', 'foreign')
      .executeTakeFirst();
  }
}

/** In the transaction that trusts it. Faults `issuer-not-trusted` when it was removed meanwhile. */
export async function judgeStanding(write: Write, id: string): Promise<void> {
  const row = await write.selectFrom('issuers').select('state').where('id', '=', id).executeTakeFirst();
  if (!row || row.state === 'removed')
    throw new Fault('issuer-not-trusted', `The anchor ${id} is trusted no longer.`);
}
