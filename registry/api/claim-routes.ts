/** Claim certificates: made for a production line, counted, revoked with what they enrolled. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import { Fault } from '#common/fault.ts';
import { parseFleetId } from '#common/identity.ts';
import { parseDuration } from '#common/quantity.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { ClaimIssuance } from '../authority/claim-issuance.ts';
import type { ClaimRevocation } from '../authority/claim-revocation.ts';
import type { Claims } from '../authority/claims.ts';
import type { RevocationReason } from '../authority/revocation-reason.ts';
import { actorOf } from './door.ts';
import { claimRevoked, claimSchemas } from './schemas/enrollments.ts';

export interface ClaimRoutesParts {
  claims: Claims;
  claimIssuance: ClaimIssuance;
  claimRevocation: ClaimRevocation;
  /** Longest CSR, bytes of DER. */
  maxCsrBytes: number;
}

export const claimRoutes = (parts: ClaimRoutesParts) => (app: FastifyInstance) => {
  const { claims, claimIssuance, claimRevocation, maxCsrBytes } = parts;

  app.post(
    '/v1/fleets/:fleet/claims',
    {
      config: { permission: 'enroll' },
      schema: {
        params: claimSchemas.fleet,
        body: claimSchemas.body,
        response: { 201: claimSchemas.created },
      },
    },
    async (request, reply) => {
      const { csr, uses, ttl } = request.body as Static<typeof claimSchemas.body>;
      const der = csrDer(csr);
      if (der.length > maxCsrBytes)
        throw new Fault('csr-too-large', `A CSR has at most ${maxCsrBytes} bytes of DER here.`);
      const ask = { csr: der, uses, ttlMs: parseDuration(ttl) };
      return reply.code(201).send(await claimIssuance.create(fleetOf(request.params), ask, actorOf(request)));
    },
  );

  app.get(
    '/v1/fleets/:fleet/claims',
    {
      config: { permission: 'read' },
      schema: { params: claimSchemas.fleet, response: { 200: claimSchemas.list } },
    },
    async (request) => ({ items: await claims.list(fleetOf(request.params)) }),
  );

  app.post(
    '/v1/claims/:claim/revoke',
    {
      config: { permission: 'operate' },
      schema: { params: claimSchemas.params, body: claimSchemas.revoke, response: { 200: claimRevoked } },
    },
    async (request) => {
      const { claim } = request.params as { claim: string };
      const { reason, devices, dryRun } = (request.body ?? {}) as NonNullable<
        Static<typeof claimSchemas.revoke>
      >;
      if (dryRun === true) {
        const toll = await claimRevocation.count(claim);
        return { dryRun, ...(devices ? toll : { devices: 0, certificates: 0, sessions: 0 }) };
      }
      const how = { devices: devices ?? false, reason: (reason ?? 'unspecified') as RevocationReason };
      return claimRevocation.revoke(claim, how, actorOf(request));
    },
  );
};

const fleetOf = (params: unknown) => parseFleetId((params as { fleet: string }).fleet);
