/** Whether a certificate may be renewed, in the words of admission at the doors. When it may, is for renewal.ts to say. Pure. */
import type { CertificateState, DeviceState, IssuerState } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import type { Fingerprint } from '#common/identity.ts';

/** A certificate with its device, issuer and the terms of its fleet. */
export interface Renewable {
  readonly fingerprint: Fingerprint;
  readonly state: CertificateState;
  readonly device: string;
  readonly deviceState: DeviceState;
  readonly fleet: string;
  readonly kind: 'own' | 'foreign';
  readonly issuerState: IssuerState;
  readonly notBeforeMs: number;
  readonly notAfterMs: number;
  readonly renewAfterMs: number | null;
  readonly graceMs: number;
  readonly skewMs: number;
}

/** Faults as admission does; `forbidden` for a certificate of a foreign CA. */
export function judgeRenewable(certificate: Renewable, nowMs: number): void {
  const { kind, issuerState, notBeforeMs, notAfterMs, graceMs, skewMs } = certificate;
  if (kind !== 'own')
    throw new Fault(
      'forbidden',
      'This certificate was issued by another CA, which renews it; or enroll with it.',
    );
  if (issuerState === 'removed')
    throw new Fault(
      'issuer-not-trusted',
      'The issuer of this certificate is not trusted; enroll the device anew.',
    );
  judgeStates(certificate);
  if (nowMs > notAfterMs + graceMs)
    throw new Fault('certificate-expired', 'This certificate has expired; enroll the device anew.');
  if (nowMs < notBeforeMs - skewMs)
    throw new Fault('certificate-not-yet-valid', 'This certificate is not valid yet; check the clocks.');
}

function judgeStates({ state, deviceState }: Renewable): void {
  if (state === 'held')
    throw new Fault('certificate-held', 'This certificate is on hold; ask the operator of the device.');
  if (state !== 'issued')
    throw new Fault('certificate-revoked', 'This certificate was revoked; enroll the device anew.');
  if (deviceState === 'pending')
    throw new Fault('device-pending', 'This device waits for an operator to let it in; try again.');
  if (deviceState === 'disabled')
    throw new Fault('device-disabled', 'This device is disabled; ask its operator.');
  if (deviceState === 'quarantined')
    throw new Fault('quarantined', 'This device seems to be two; its operator has to look at it.');
  if (deviceState !== 'active')
    throw new Fault(
      'device-revoked',
      'This device was taken out of service; delete it to let it enroll anew.',
    );
}
