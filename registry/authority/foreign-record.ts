/** The rows of a certificate of a foreign CA and of its device: what is judged and written in the transaction that records it. */
import { hash } from 'node:crypto';
import { Fault } from '#common/fault.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { Write } from '../store/writer.ts';
import type { Introduced } from './anchor-chain.ts';
import { planOf, recordedSerial } from './foreign-path.ts';

const keyHashOf = ({ leaf }: Introduced): string => hash('sha256', leaf.spki, 'hex');

/**
 * False when the certificate is recorded already. Faults `conflict` when its CA has used the serial number before,
 * `csr-key-reused` when another device has its key, `too-many-certificates`.
 */
export async function judgeForeign(
  write: Write,
  found: Introduced,
  maxCertificates: number,
  nowMs: number,
): Promise<boolean> {
  const { anchor, device, leaf, steps } = found;
  const before = await write
    .selectFrom('certificates')
    .select('fingerprint')
    .where('issuer', '=', anchor.id)
    .where('serial', '=', recordedSerial(steps[0]!))
    .executeTakeFirst();
  if (before?.fingerprint === fingerprintOf(leaf.der)) return false;
  if (before)
    throw new Fault(
      'conflict',
      'The issuer of this certificate has given its serial number to another one too.',
    );
  const owner = await write
    .selectFrom('certificates')
    .select('device')
    .where('key_hash', '=', keyHashOf(found))
    .where('device', '!=', device)
    .limit(1)
    .executeTakeFirst();
  if (owner) throw new Fault('csr-key-reused', 'The key of this certificate belongs to another device.');
  const { live } = await write
    .selectFrom('certificates')
    .select(({ fn }) => fn.countAll<number>().as('live'))
    .where('device', '=', device)
    .where('state', 'in', ['issued', 'held', 'reserved'])
    .where('not_after_ms', '>', nowMs)
    .executeTakeFirstOrThrow();
  if (live >= maxCertificates)
    throw new Fault(
      'too-many-certificates',
      `The device ${device} has ${live} live certificates, as many as its profile allows; revoke one first.`,
    );
  return true;
}

/**
 * The device as the mode of its anchor wants it: there already, or made from the template. True when it was made;
 * `judgeNew` is asked before. Faults `unknown-certificate` for one that is not registered, `conflict` for one of another
 * fleet, `device-revoked`, `device-disabled`.
 */
export async function admitForeignDevice(
  write: Write,
  { anchor, device }: Introduced,
  nowMs: number,
  judgeNew: () => void,
): Promise<boolean> {
  const known = await write.selectFrom('devices').selectAll().where('id', '=', device).executeTakeFirst();
  const isThere = known && known.state !== 'deleted';
  if (isThere && known.fleet !== anchor.fleet)
    throw new Fault(
      'conflict',
      `The device ${device} belongs to another fleet than the anchor ${anchor.id}.`,
    );
  if (known?.state === 'revoked')
    throw new Fault('device-revoked', `The device ${device} was taken out of service.`);
  if (known?.state === 'disabled') throw new Fault('device-disabled', `The device ${device} is disabled.`);
  if (known?.state === 'quarantined')
    throw new Fault(
      'quarantined',
      `The device ${device} seems to be two; enable it once you know which is real.`,
    );
  if (isThere) return false;
  if (anchor.mode !== 'jit')
    throw new Fault(
      'unknown-certificate',
      `The device ${device} is not registered in the fleet ${anchor.fleet}; register it first.`,
    );
  judgeNew();
  const { role, attributes, state } = anchor.terms.template;
  const row = {
    fleet: anchor.fleet,
    state,
    role,
    attributes: JSON.stringify(attributes),
    created_ms: nowMs,
    updated_ms: nowMs,
    limits: null,
    suspicion: null,
    assigned_role: null,
    last_issuer: null,
    last_seen_ms: null,
  };
  await write
    .insertInto('devices')
    .values({ id: device, ...row })
    .onConflict((conflict) => conflict.column('id').doUpdateSet(row))
    .execute();
  return true;
}

export async function insertForeign(write: Write, found: Introduced, nowMs: number): Promise<void> {
  const { anchor, device, leaf, steps, notAfterMs, statusUntilMs } = found;
  await write
    .insertInto('certificates')
    .values({
      issuer: anchor.id,
      serial: recordedSerial(steps[0]!),
      fingerprint: fingerprintOf(leaf.der),
      device,
      fleet: anchor.fleet,
      state: 'issued',
      key_hash: keyHashOf(found),
      profile: '',
      plan: planOf(steps),
      der: leaf.der,
      source: `anchor:${anchor.id}`,
      csr_hash: null,
      not_before_ms: leaf.notBeforeMs,
      not_after_ms: notAfterMs,
      reserved_ms: nowMs,
      revoked_ms: null,
      reason: null,
      replaces: null,
      used_ms: null,
      seen_ms: nowMs,
      retire_ms: null,
      renew_after_ms: null,
      status_until_ms: statusUntilMs,
    })
    .execute();
}
