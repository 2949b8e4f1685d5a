/** Enrollment: a credential and a CSR in, a certificate out. It says by what right; issuance.ts does the rest. */
import { hash } from 'node:crypto';
import type { Clock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { type DeviceId, type FleetId, parseDeviceId } from '#common/identity.ts';
import type { Write } from '../store/writer.ts';
import type { Approvals, EnrollmentAsk, KeptEnrollment } from './approvals.ts';
import type { ChainReader, Credential, EnrollmentRight } from './credential.ts';
import { type Csr, readCsr } from './csr.ts';
import type { Fleets } from './fleets.ts';
import { type Issuance, type IssuanceStep, issuanceSteps, type Mandate } from './issuance.ts';
import type { Profile } from './profile.ts';
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
  approvals: Approvals;
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
   * Faults `token-…`, `claim-…` and `csr-…` as named; `device-revoked` for a device that was revoked; `conflict` for one
   * of another fleet; `approval-…` where the fleet wants manual approval. Nothing is spent unless a certificate is issued
   * or the request put in.
   */
  async enroll(request: EnrollmentRequest): Promise<IssuedCertificate> {
    const { issuance, fleets, profiles, approvals, observe } = this.#parts;
    observe('check-credential');
    const right = await this.rightOf(request.credential);
    const { fleet } = right;
    if (request.fleet !== null && request.fleet !== fleet)
      throw new Fault('token-scope', `This credential enrolls devices of the fleet ${fleet}.`);
    if (request.device !== null) judgeDevice(right, request.device);
    observe('read-csr');
    const csr = await readCsr(request.csr);
    const device = request.device ?? parseDeviceId(csr.commonNames[0] ?? '');
    judgeDevice(right, device);

    const { attributes } = request;
    const ask = { device, fleet, attributes, csr: request.csr, csrHash: hash('sha256', request.csr, 'hex') };
    const again = await this.#issuedBefore(right, device, csr);
    if (again) return again;
    const terms = await fleets.terms(fleet);
    const profile = await profiles.find(terms.profile);
    if (right.refusal || terms.approval === 'manual') {
      const known = await approvals.find(device, ask.csrHash);
      const isHeard = known?.fleet === fleet && (!right.refusal || known.source === right.source);
      if (isHeard) return this.#decided(known, profile, csr);
      if (right.refusal) throw right.refusal;
      await issuance.judge({ ...ask, profile }, csr);
      throw await approvals.putIn(ask, right);
    }
    const spend = (write: Write) => right.spend(write, device);
    return this.#issue({ ...ask, profile, source: right.source, actor: right.actor, spend }, csr);
  }

  /** A claim that is asked again with the same key gives what it gave: an answer that was lost costs nothing. */
  async #issuedBefore(
    right: EnrollmentRight,
    device: DeviceId,
    csr: Csr,
  ): Promise<IssuedCertificate | undefined> {
    if (!right.newcomersOnly || !csr.possessed) return undefined;
    const known = await this.#parts.issuance.recall(device, csr);
    return known?.source === right.source ? known.issued : undefined;
  }

  /** What an operator has decided, when the device asks again. */
  async #decided(known: KeptEnrollment, profile: Profile, csr: Csr): Promise<IssuedCertificate> {
    const { approvals, issuance } = this.#parts;
    const { id, state, csr_hash: csrHash } = known;
    const device = known.device as DeviceId;
    if (state === 'pending') throw approvals.pending(id);
    if (state === 'denied') {
      const why = known.reason === null ? '' : `: ${known.reason}`;
      throw new Fault('approval-denied', `An operator has denied this enrollment${why}.`);
    }
    if (state === 'issued') {
      const before = await issuance.recall(device, { csrHash });
      if (before) return before.issued;
      const gone =
        'The certificate for this CSR is being made, or is good no longer; for another, make a new key.';
      throw new Fault('conflict', gone, { retryAfterMs: 1_000 });
    }
    const source = `approval:${id}`;
    const attributes = JSON.parse(known.attributes) as Record<string, string>;
    const fleet = known.fleet as FleetId;
    const spend = (write: Write) => approvals.take(write, id);
    return this.#issue({ device, fleet, attributes, csrHash, profile, source, actor: source, spend }, csr);
  }

  #issue(asked: Omit<Mandate, 'replaces'> & Pick<EnrollmentAsk, 'attributes' | 'csrHash'>, csr: Csr) {
    const { issuance, clock } = this.#parts;
    const spend = async (write: Write) => {
      await asked.spend(write);
      await admitDevice(write, asked, clock.now());
    };
    return issuance.issue({ ...asked, replaces: null, spend }, csr, asked.csrHash);
  }

  /** What a credential grants, spending nothing. Faults `token-…`, `unauthenticated`. */
  async rightOf(credential: Credential): Promise<EnrollmentRight> {
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
    role = null,
    state = 'active',
  }: {
    device: DeviceId;
    fleet: FleetId;
    attributes: Readonly<Record<string, string>>;
    role?: string | null;
    state?: 'active' | 'pending';
  },
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
  if (known?.state === 'quarantined')
    throw new Fault(
      'quarantined',
      `The device ${device} seems to be two; enable it once you know which is real.`,
    );
  if (known && known.state !== 'deleted') return;
  const row = {
    fleet,
    state,
    role,
    attributes: JSON.stringify(attributes),
    updated_ms: nowMs,
    limits: null,
    suspicion: null,
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
