/** Enrollment: a credential and a CSR in, a certificate out. It says by what right; issuance.ts does the rest. */
import { hash } from 'node:crypto';
import type { Clock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { type DeviceId, type FleetId, parseDeviceId } from '#common/identity.ts';
import type { Write } from '../store/writer.ts';
import type { ChainReader, Credential, EnrollmentRight } from './credential.ts';
import { readCsr } from './csr.ts';
import type { Fleets } from './fleets.ts';
import { type Issuance, type IssuanceStep, issuanceSteps } from './issuance.ts';
import type { Profiles } from './profiles.ts';
import { roleByAssignment } from './role-assignments.ts';
import type { Tokens } from './tokens.ts';

export const enrollmentSteps = ['check-credential', 'read-csr', ...issuanceSteps] as const;
export type EnrollmentStep = (typeof enrollmentSteps)[number] | IssuanceStep;

export interface EnrollmentRequest {
  readonly credential: Credential;
  /** The fleet that was named; null to take the one of the credential. */
  readonly fleet: FleetId | null;
  /** Null to take the CN of the CSR. */
  readonly device: DeviceId | null;
  /** DER. */
  readonly csr: Buffer;
  readonly attributes: Readonly<Record<string, string>>;
}

export interface EnrollmentParts {
  issuance: Issuance;
  fleets: Fleets;
  profiles: Profiles;
  tokens: Tokens;
  /** Kinds of certificates that may enroll, asked in order. */
  chains: readonly ChainReader[];
  clock: Clock;
  observe: (step: EnrollmentStep) => void;
}

export class Enrollment {
  readonly #parts: EnrollmentParts;

  constructor(parts: EnrollmentParts) {
    this.#parts = parts;
  }

  /**
   * Faults `token-…` and `csr-…` as named; `device-revoked` for a device that was revoked; `conflict` for one of
   * another fleet. Nothing is spent unless a certificate is issued.
   */
  async enroll(request: EnrollmentRequest): Promise<IssuedCertificate> {
    const { issuance, fleets, profiles, clock, observe } = this.#parts;
    const { attributes } = request;
    observe('check-credential');
    const right = await this.#rightOf(request.credential);
    const { fleet } = right;
    if (request.fleet !== null && request.fleet !== fleet)
      throw new Fault('token-scope', `This credential enrolls devices of the fleet ${fleet}.`);
    if (request.device !== null) judgeDevice(right, request.device);
    observe('read-csr');
    const csr = await readCsr(request.csr);
    const device = request.device ?? parseDeviceId(csr.commonNames[0] ?? '');
    judgeDevice(right, device);
    const { profile } = await fleets.terms(fleet);
    const mandate = {
      device,
      fleet,
      profile: await profiles.find(profile),
      source: right.source,
      actor: right.actor,
      replaces: null,
      spend: async (write: Write) => {
        await right.spend(write);
        await admitDevice(write, { device, fleet, attributes }, clock.now());
      },
    };
    return issuance.issue(mandate, csr, hash('sha256', request.csr, 'hex'));
  }

  async #rightOf(credential: Credential): Promise<EnrollmentRight> {
    const { tokens, chains } = this.#parts;
    if ('secret' in credential) return tokens.right(credential.secret);
    for (const read of chains) {
      const right = await read(credential.chain);
      if (right) return right;
    }
    throw new Fault('unauthenticated', 'This certificate enrolls nobody; bring an enrollment token.');
  }
}

function judgeDevice({ device }: EnrollmentRight, asked: DeviceId): void {
  if (device !== null && device !== asked)
    throw new Fault('token-scope', `This credential is for the device ${device} only.`);
}

/**
 * A device comes to be with its first certificate. Faults `conflict` for one of another fleet, `device-revoked`,
 * `device-disabled`.
 */
export async function admitDevice(
  write: Write,
  {
    device,
    fleet,
    attributes,
  }: { device: DeviceId; fleet: FleetId; attributes: Readonly<Record<string, string>> },
  nowMs: number,
): Promise<void> {
  const known = await write
    .selectFrom('devices')
    .select(['fleet', 'state'])
    .where('id', '=', device)
    .executeTakeFirst();
  if (known && known.fleet !== fleet && known.state !== 'deleted') {
    throw new Fault('conflict', `The device ${device} belongs to another fleet.`);
  }
  if (known?.state === 'revoked') {
    throw new Fault('device-revoked', `The device ${device} was revoked; delete it to let it enroll anew.`);
  }
  if (known?.state === 'disabled') {
    throw new Fault('device-disabled', `The device ${device} is disabled; enable it to let it enroll.`);
  }
  if (known && known.state !== 'deleted') return;
  const row = {
    fleet,
    state: 'active' as const,
    role: null,
    attributes: JSON.stringify(attributes),
    updated_ms: nowMs,
    assigned_role: await roleByAssignment(write, { fleet, attributes }),
    last_issuer: null,
    last_seen_ms: null,
  };
  await write
    .insertInto('devices')
    .values({ id: device, created_ms: nowMs, ...row })
    .onConflict((conflict) => conflict.column('id').doUpdateSet({ created_ms: nowMs, ...row }))
    .execute();
}
