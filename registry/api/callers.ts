/** Says who is calling: an API token, or a gateway or an operator by certificate. Failures are counted by address. */
import type { TLSSocket } from 'node:tls';
import type { FastifyRequest } from 'fastify';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import type { ApiTokens, Caller } from '../authority/api-tokens.ts';
import type { GatewayRegister } from '../authority/gateway-register.ts';
import type { Operators } from '../authority/operators.ts';
import { isGranted, mayCall, type Permission } from './permissions.ts';
import type { RateLimits } from './rate-limits.ts';

export class Callers {
  readonly #tokens: ApiTokens;
  readonly #gateways: GatewayRegister;
  readonly #operators: Operators;
  readonly #limits: RateLimits;
  readonly #clock: Clock;

  constructor(parts: {
    tokens: ApiTokens;
    gateways: GatewayRegister;
    operators: Operators;
    limits: RateLimits;
    clock: Clock;
  }) {
    this.#tokens = parts.tokens;
    this.#operators = parts.operators;
    this.#gateways = parts.gateways;
    this.#limits = parts.limits;
    this.#clock = parts.clock;
  }

  /** Faults `unauthenticated`, `forbidden` or `rate-limited`. */
  async admit(request: FastifyRequest, permission: Permission): Promise<Caller> {
    const nowMs = this.#clock.now();
    this.#limits.mayTry(request.ip, nowMs);
    let needed = `"${permission}"`;
    try {
      const caller = await this.#identify(request, nowMs);
      if (isGranted(caller.role, permission)) return caller;
      if (mayCall(caller.document, permission, request.method, request.raw.url ?? '')) return caller;
      if (caller.role === 'document')
        needed = `${request.method} of this path; its role's http rules say what it may`;
    } catch (thrown) {
      this.#limits.failed(request.ip, nowMs);
      throw thrown;
    }
    throw new Fault('forbidden', `This credential does not grant ${needed}.`);
  }

  /** Counts a wrong enrollment token like a wrong API token. */
  failed(request: FastifyRequest): void {
    this.#limits.failed(request.ip, this.#clock.now());
  }

  /** Asked before an enrollment token is looked at. Faults `rate-limited`. */
  mayTry(request: FastifyRequest): void {
    this.#limits.mayTry(request.ip, this.#clock.now());
  }

  async #identify(request: FastifyRequest, nowMs: number): Promise<Caller> {
    const secret = bearerOf(request);
    if (secret !== undefined) return this.#tokens.identify(secret);
    const leaf = leafOf(request);
    const fingerprint = leaf && fingerprintOf(leaf);
    const gateway = fingerprint && (await this.#gateways.find(fingerprint, nowMs));
    if (gateway) return { actor: `gateway:${gateway}`, role: 'gateway' };
    const operator = fingerprint && (await this.#operators.identify(fingerprint));
    if (operator) return operator;
    throw new Fault(
      'unauthenticated',
      fingerprint
        ? "This certificate is no operator's, or it was revoked or has expired."
        : 'Say who you are: "Authorization: Bearer <API token>", or the client certificate of an operator.',
    );
  }
}

/** The client certificate of the connection, DER; its key is proved by the handshake, and nothing else. */
export const leafOf = (request: FastifyRequest): Buffer | undefined =>
  (request.raw.socket as TLSSocket).getPeerX509Certificate()?.raw;

/** Longest chain that is looked at; a client that sends more has shown what is needed by then. */
const longestChain = 10;

/** What the client has shown in the handshake, leaf first, DER; empty when it has shown nothing. */
export function chainOf(request: FastifyRequest): Buffer[] {
  const chain: Buffer[] = [];
  let at = (request.raw.socket as TLSSocket).getPeerX509Certificate();
  while (at && chain.length < longestChain) {
    chain.push(at.raw);
    at = at.issuerCertificate;
  }
  return chain;
}

/** The token of an `Authorization: Bearer` header (RFC 6750, section 2.1). */
export function bearerOf(request: FastifyRequest): string | undefined {
  return /^Bearer +([A-Za-z0-9._~+/=-]+)$/i.exec(request.headers.authorization ?? '')?.[1];
}
