/** Makes claim certificates, as issuance.ts makes those of devices: written down before the key is used, compared after. */
import { type Clock, timestamp } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { type FleetId, fleetUri } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem } from '#common/x509/pem.ts';
import { makeSerialNumber } from '../ca/ca-certificates.ts';
import type { IssuingCa } from '../ca/issuing-ca.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Audit } from './audit.ts';
import { type ClaimView, viewOfClaim } from './claims.ts';
import { type Csr, readCsr } from './csr.ts';
import { judgeCsr } from './csr-policy.ts';
import type { Fleets } from './fleets.ts';
import type { Issuers } from './issuers.ts';
import type { Profile } from './profile.ts';
import type { Profiles } from './profiles.ts';
import { makeId } from './secret.ts';
import { compareSigned } from './signed-leaf.ts';

export interface IssuedClaim extends ClaimView {
  /** PEM: the claim certificate; the issuing CA; the anchors. */
  readonly certificate: string;
  readonly chain: string;
  readonly ca: string;
}

export interface ClaimRequest {
  /** DER. Its subject and names are not taken over. */
  readonly csr: Buffer;
  readonly uses: number;
  readonly ttlMs: number;
}

export interface ClaimIssuanceParts {
  writer: Writer;
  audit: Audit;
  issuers: Issuers;
  fleets: Fleets;
  profiles: Profiles;
  trustDomain: string;
  clock: Clock;
}

interface Draft {
  readonly id: string;
  readonly fleet: FleetId;
  readonly csr: Csr;
  readonly profile: Profile;
  readonly issuer: { readonly id: string; readonly ca: IssuingCa };
  readonly plan: CertificatePlan;
}

export class ClaimIssuance {
  readonly #parts: ClaimIssuanceParts;

  constructor(parts: ClaimIssuanceParts) {
    this.#parts = parts;
  }

  /** Its key is of the kinds that the fleet's profile takes, and new here. Faults `not-found`, `csr-…`. */
  async create(fleet: FleetId, request: ClaimRequest, actor: string): Promise<IssuedClaim> {
    const { fleets, profiles, issuers } = this.#parts;
    const profile = await profiles.find((await fleets.terms(fleet)).profile);
    const csr = await readCsr(request.csr);
    judgeCsr(csr, { keys: profile.document.keys, purposes: ['clientAuth'], subject: null, names: [] });
    const draft = this.#draft(fleet, csr, profile, issuers.preferred, request.ttlMs);
    await this.#reserve(draft);
    const der = await this.#sign(draft);
    const row = await this.#record(draft, der, request.uses, actor);
    const { ca } = draft.issuer;
    return { ...viewOfClaim(row, 0), certificate: certificatePem(der), chain: ca.issuing, ca: ca.bundle };
  }

  #draft(fleet: FleetId, csr: Csr, profile: Profile, issuer: Draft['issuer'], ttlMs: number): Draft {
    const id = makeId();
    const nowMs = Math.floor(this.#parts.clock.now() / 1000) * 1000;
    const plan: CertificatePlan = {
      serialNumber: makeSerialNumber(),
      // No device id has a space in it.
      commonName: `claim ${id}`,
      subject: [],
      uris: [`${fleetUri(this.#parts.trustDomain, fleet)}/claim/${id}`],
      dnsNames: [],
      addresses: [],
      purposes: ['clientAuth'],
      notBeforeMs: nowMs - profile.backdateMs,
      notAfterMs: Math.min(nowMs + Math.max(1000, Math.floor(ttlMs / 1000) * 1000), issuer.ca.notAfterMs),
    };
    return { id, fleet, csr, profile, issuer, plan };
  }

  async #reserve({ fleet, csr, profile, issuer, plan }: Draft): Promise<void> {
    const { writer, clock, issuers } = this.#parts;
    await writer.write(async (write) => {
      if (!issuers.maySign(issuer.id))
        throw new Fault('unavailable', 'The issuing CA has just been changed; try again.', {
          retryAfterMs: 1,
        });
      const owner = await write
        .selectFrom('certificates')
        .select('serial')
        .where('key_hash', '=', csr.keyHash)
        .limit(1)
        .executeTakeFirst();
      if (owner) throw new Fault('csr-key-reused', 'This key is certified already; make a new key.');
      await write
        .insertInto('certificates')
        .values({
          issuer: issuer.id,
          serial: plan.serialNumber,
          fingerprint: null,
          device: '',
          fleet,
          state: 'reserved',
          key_hash: csr.keyHash,
          profile: profile.name,
          plan: JSON.stringify(plan),
          der: null,
          source: 'system',
          csr_hash: null,
          not_before_ms: plan.notBeforeMs,
          not_after_ms: plan.notAfterMs,
          reserved_ms: clock.now(),
          revoked_ms: null,
          reason: null,
          replaces: null,
          used_ms: null,
          seen_ms: null,
          retire_ms: null,
          renew_after_ms: null,
          status_until_ms: null,
        })
        .execute();
    });
  }

  async #sign({ plan, csr, issuer }: Draft): Promise<Buffer> {
    const { writer, clock } = this.#parts;
    try {
      const der = await issuer.ca.sign(plan, csr.publicKeyDer);
      compareSigned(der, plan, csr.publicKeyDer, issuer.ca);
      return der;
    } catch (thrown) {
      await writer.write(async (write) => {
        await write
          .updateTable('certificates')
          .set({ state: 'revoked', revoked_ms: clock.now(), reason: 'abandoned' })
          .where('issuer', '=', issuer.id)
          .where('serial', '=', plan.serialNumber)
          .execute();
      });
      throw thrown;
    }
  }

  #record(draft: Draft, der: Buffer, uses: number, actor: string): Promise<Tables['claims']> {
    const { writer, audit, clock } = this.#parts;
    const { id, fleet, issuer, plan } = draft;
    const fingerprint = fingerprintOf(der);
    const row: Tables['claims'] = {
      id,
      fleet,
      fingerprint,
      uses,
      uses_left: uses,
      expires_ms: plan.notAfterMs,
      created_ms: clock.now(),
      revoked: 0,
    };
    return writer.write(async (write) => {
      await write
        .updateTable('certificates')
        .set({ state: 'issued', der, fingerprint })
        .where('issuer', '=', issuer.id)
        .where('serial', '=', plan.serialNumber)
        .execute();
      await write.insertInto('claims').values(row).execute();
      const after = {
        fleet,
        fingerprint,
        serialNumber: plan.serialNumber,
        uses,
        expiresAt: timestamp(row.expires_ms),
      };
      await audit.append(write, {
        actor,
        action: 'claim.create',
        target: id,
        detail: { before: null, after },
      });
      return row;
    });
  }
}
