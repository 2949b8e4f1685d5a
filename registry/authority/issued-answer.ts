/** A certificate that was issued, as every door answers it: from what is recorded, so that it can be answered again. */
import { timestamp } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import type { Fingerprint } from '#common/identity.ts';
import { certificatePem } from '#common/x509/pem.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { Tables } from '../store/tables.ts';

export type IssuedRow = Pick<
  Tables['certificates'],
  'device' | 'fleet' | 'serial' | 'not_before_ms' | 'not_after_ms' | 'renew_after_ms'
> & { readonly fingerprint: string; readonly der: Buffer };

/** `ca` is the one that has issued it. */
export const issuedAnswer = (
  row: IssuedRow,
  ca: Pick<IssuingCa, 'issuing' | 'bundle'>,
): IssuedCertificate => ({
  deviceId: row.device,
  fleet: row.fleet,
  serialNumber: row.serial,
  fingerprint: row.fingerprint as Fingerprint,
  notBefore: timestamp(row.not_before_ms),
  notAfter: timestamp(row.not_after_ms),
  renewAfter: timestamp(row.renew_after_ms ?? row.not_before_ms),
  certificate: certificatePem(row.der),
  chain: ca.issuing,
  ca: ca.bundle,
});
