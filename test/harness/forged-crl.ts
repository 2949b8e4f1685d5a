/** CRLs of every kind, good and hostile, signed with real keys. */
import { sign } from 'node:crypto';
import { bits, context, integer, octets, oid, sequence, time, tlv } from './der-writer.ts';
import { extension, type Forged, signings } from './forged-certificate.ts';

export interface CrlPlan {
  /** Whole entries, or their serial numbers. */
  readonly entries?: readonly (Buffer | bigint)[];
  readonly number?: bigint | null;
  readonly thisUpdate?: string;
  readonly nextUpdate?: string | null;
  readonly extensions?: readonly Buffer[];
  readonly issuer?: Buffer;
  readonly keyId?: Buffer | null;
  readonly version?: Buffer | null;
  readonly signature?: Buffer;
}

const revokedAt = time('2026-02-01T00:00:00Z');
/** 0x0a is ENUMERATED. */
export const reasonExtension = (code: number): Buffer =>
  extension('2.5.29.21', tlv(0x0a, Buffer.from([code])));
export const crlEntry = (serial: bigint, ...extensions: readonly Buffer[]): Buffer =>
  sequence(integer(serial), revokedAt, ...(extensions.length > 0 ? [sequence(...extensions)] : []));

/** By an ECDSA P-256 key. */
export function forgeCrl(ca: Forged, plan: CrlPlan = {}): Buffer {
  const { number = 1n, entries = [], nextUpdate = '2026-12-01T00:00:00Z', keyId = ca.keyId } = plan;
  const rows = entries.map((entry) =>
    typeof entry === 'bigint' ? crlEntry(entry, reasonExtension(1)) : entry,
  );
  const extensions = [
    ...(keyId ? [sequence(oid('2.5.29.35'), octets(sequence(tlv(0x80, keyId))))] : []),
    ...(number === null ? [] : [extension('2.5.29.20', integer(number))]),
    ...(plan.extensions ?? []),
  ];
  const algorithm = signings['ecdsa-sha256'].identifier;
  const tbs = sequence(
    ...(plan.version === null ? [] : [plan.version ?? integer(1)]),
    algorithm,
    plan.issuer ?? ca.subject,
    time(plan.thisUpdate ?? '2026-03-01T00:00:00Z'),
    ...(nextUpdate === null ? [] : [time(nextUpdate)]),
    ...(rows.length > 0 ? [sequence(...rows)] : []),
    ...(extensions.length > 0 ? [context(0, sequence(...extensions))] : []),
  );
  return sequence(tbs, algorithm, bits(plan.signature ?? sign('sha256', tbs, ca.keys.privateKey)));
}
