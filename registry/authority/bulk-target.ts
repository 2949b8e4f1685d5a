/** What an order to revoke many is about, looked up in lots. It reads; bulk-revocation.ts writes. */
import { type Kysely, sql } from 'kysely';
import type { CertificateState, DeviceState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { DeviceId, Fingerprint, FleetId } from '#common/identity.ts';
import type { Tables } from '../store/tables.ts';

export type BulkTarget =
  | { readonly fleet: FleetId }
  | { readonly issuer: string }
  | { readonly devices: readonly DeviceId[] }
  | { readonly fingerprints: readonly Fingerprint[] };

/** Rows looked at, and certificates revoked, in one transaction. */
export const lotSize = 200;

/** A certificate that can still be used; or, with `fingerprint` null, a device that has none. */
export interface Victim {
  readonly device: string;
  readonly fingerprint: string | null;
}

/** Some of what an order is about, and where to go on; null at the end. */
interface Page {
  readonly victims: readonly Victim[];
  readonly next: string | null;
}

export const usable: CertificateState[] = ['issued', 'held'];
export const outOfService: DeviceState[] = ['revoked', 'deleted'];

/** A device is in one lot with all its certificates: one that is out of service is not looked at again. */
function endOfLot(victims: readonly Victim[], start: number): number {
  const limit = start + lotSize;
  if (limit >= victims.length) return victims.length;
  let end = limit;
  while (end > start && victims[end]?.device === victims[end - 1]?.device) end -= 1;
  return end > start ? end : limit;
}

const turn = () => new Promise<void>((resolve) => setImmediate(resolve));
const after = (key: string | undefined): string | null => key ?? null;

/** A list of any length in one statement of one text. */
export const listed = (list: readonly string[]) =>
  sql<string>`(SELECT value FROM json_each(${JSON.stringify(list)}))`;

/** The certificates that these devices can still use; a device without any stands for itself. */
async function ofDevices(read: Kysely<Tables>, ids: readonly string[]): Promise<Victim[]> {
  const devices = await read
    .selectFrom('devices')
    .select('id')
    .where('id', 'in', listed(ids))
    .where('state', 'not in', outOfService)
    .orderBy('id')
    .execute();
  const certificates = await read
    .selectFrom('certificates')
    .select(['device', 'fingerprint'])
    .where('device', 'in', listed(devices.map(({ id }) => id)))
    .where('state', 'in', usable)
    .execute();
  const own = Map.groupBy(certificates, ({ device }) => device);
  return devices.flatMap(({ id }): Victim[] => own.get(id) ?? [{ device: id, fingerprint: null }]);
}

/** Each is looked up when it is asked for, and the loop has had a turn before. */
export async function* lotsOf(read: Kysely<Tables>, target: BulkTarget): AsyncGenerator<readonly Victim[]> {
  for (let from: string | null = ''; from !== null; ) {
    const { victims, next }: Page = await pageOf(read, target, from);
    for (let at = 0; at < victims.length; ) {
      const end = endOfLot(victims, at);
      yield victims.slice(at, end);
      at = end;
      await turn();
    }
    await turn();
    from = next;
  }
}

async function pageOf(read: Kysely<Tables>, target: BulkTarget, from: string): Promise<Page> {
  if ('fleet' in target) {
    const rows = await read
      .selectFrom('devices')
      .select('id')
      .where('fleet', '=', target.fleet)
      .where('id', '>', from)
      .orderBy('id')
      .limit(lotSize)
      .execute();
    return {
      victims: await ofDevices(
        read,
        rows.map(({ id }) => id),
      ),
      next: after(rows.at(lotSize - 1)?.id),
    };
  }
  if ('issuer' in target) {
    const rows = await read
      .selectFrom('certificates')
      .select(['serial', 'device', 'fingerprint', 'state'])
      .where('issuer', '=', target.issuer)
      .where('serial', '>', from)
      .orderBy('serial')
      .limit(lotSize)
      .execute();
    const victims = rows.filter(({ state }) => usable.includes(state));
    return { victims, next: after(rows.at(lotSize - 1)?.serial) };
  }
  const at = Number(from);
  const list = 'devices' in target ? target.devices : target.fingerprints;
  const some = list.slice(at, at + lotSize);
  const next = at + lotSize < list.length ? String(at + lotSize) : null;
  if ('devices' in target) return { victims: await ofDevices(read, some), next };
  const victims = await read
    .selectFrom('certificates')
    .select(['device', 'fingerprint'])
    .where('fingerprint', 'in', listed(some))
    .where('state', 'in', usable)
    .execute();
  return { victims, next };
}

/** For the audit. */
export function nameOf(target: BulkTarget): string {
  if ('fleet' in target) return `fleet:${target.fleet}`;
  if ('issuer' in target) return `issuer:${target.issuer}`;
  return 'devices' in target
    ? `${target.devices.length} devices`
    : `${target.fingerprints.length} certificates`;
}

/** Faults `not-found`. */
export async function judgeTarget(read: Kysely<Tables>, target: BulkTarget): Promise<void> {
  if ('fleet' in target || 'issuer' in target) {
    const [table, id] =
      'fleet' in target ? (['fleets', target.fleet] as const) : (['issuers', target.issuer] as const);
    const known = await read.selectFrom(table).select('id').where('id', '=', id).executeTakeFirst();
    if (!known) throw new Fault('not-found', `There is no ${table === 'fleets' ? 'fleet' : 'issuer'} ${id}.`);
    return;
  }
  const [what, list] =
    'devices' in target
      ? (['device', target.devices] as const)
      : (['certificate', target.fingerprints] as const);
  const known =
    what === 'device'
      ? await read
          .selectFrom('devices')
          .select('id as name')
          .where('id', 'in', listed(list))
          .where('state', '!=', 'deleted')
          .execute()
      : await read
          .selectFrom('certificates')
          .select('fingerprint as name')
          .where('fingerprint', 'in', listed(list))
          .execute();
  const names = new Set<string | null>(known.map(({ name }) => name));
  const missing = list.find((name) => !names.has(name));
  if (missing !== undefined)
    throw new Fault('not-found', `There is no ${what} ${missing}; nothing was revoked.`);
}
