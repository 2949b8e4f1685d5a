/** The gateways that may join: each with the certificates it was given, the one before a renewal included. */
import type { Kysely } from 'kysely';
import { type Clock, timestamp } from '#common/clock.ts';
import type { GatewayCertificate, GatewayEnrollment } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import { type Fingerprint, gatewayUri } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { certificatePem, csrDer } from '#common/x509/pem.ts';
import { doorPlan } from '../ca/door-certificates.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { Tables } from '../store/tables.ts';
import type { Writer } from '../store/writer.ts';
import type { Caller } from './api-tokens.ts';
import type { Audit } from './audit.ts';
import { readCsr } from './csr.ts';
import type { Issuers } from './issuers.ts';

export interface GatewayRegisterParts {
  read: Kysely<Tables>;
  writer: Writer;
  audit: Audit;
  issuers: Pick<Issuers, 'preferred' | 'trust'>;
  /** Writes a plan down before it is signed, with the id of its issuer and the name of the gateway. */
  record: (plan: CertificatePlan, issuer: string, name: string) => Promise<void>;
  trustDomain: string;
  lifetimeMs: number;
  clock: Clock;
}

export class GatewayRegister {
  readonly #parts: GatewayRegisterParts;

  constructor(parts: GatewayRegisterParts) {
    this.#parts = parts;
  }

  /** The gateway of a certificate that was issued here and is valid now. */
  async find(fingerprint: Fingerprint, nowMs: number): Promise<string | undefined> {
    const row = await this.#parts.read
      .selectFrom('gateways')
      .select('name')
      .where('fingerprint', '=', fingerprint)
      .where('not_after_ms', '>', nowMs)
      .executeTakeFirst();
    return row?.name;
  }

  /**
   * A certificate for the doors of a gateway: asked for by an admin, or by the gateway itself under its own name.
   * It is recorded before it is handed out. Faults `forbidden`, `csr-signature`.
   */
  async enroll(request: GatewayEnrollment, caller: Caller): Promise<GatewayCertificate> {
    const { writer, audit, issuers, record, trustDomain, lifetimeMs, clock } = this.#parts;
    if (caller.role === 'gateway' && caller.actor !== `gateway:${request.name}`) {
      throw new Fault('forbidden', 'A gateway renews its own certificate, not that of another.');
    }
    const csr = await readCsr(csrDer(request.csr));
    if (!csr.possessed) throw new Fault('csr-signature', 'The signature of the CSR does not verify.');
    const { id: issuer, ca } = issuers.preferred;
    const plan = doorPlan(
      request.names,
      gatewayUri(trustDomain, request.name),
      clock.now(),
      lifetimeMs,
      ca.notAfterMs,
    );
    await record(plan, issuer, request.name);
    const der = await ca.sign(plan, csr.publicKeyDer);
    const fingerprint = fingerprintOf(der);
    await writer.write(async (write) => {
      await write
        .insertInto('gateways')
        .values({ fingerprint, name: request.name, not_after_ms: plan.notAfterMs })
        .execute();
      await write.deleteFrom('gateways').where('not_after_ms', '<', clock.now()).execute();
      const after = { fingerprint, names: request.names, notAfter: timestamp(plan.notAfterMs) };
      const detail = { before: null, after };
      await audit.append(write, {
        actor: caller.actor,
        action: 'gateway.enroll',
        target: request.name,
        detail,
      });
    });
    return {
      chain: certificatePem(der) + ca.issuing,
      trust: issuers.trust,
      notAfter: timestamp(plan.notAfterMs),
    };
  }
}
