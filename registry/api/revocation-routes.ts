/** Revocation of many, tried out before or done; and the end of a hold. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { BulkForecast, BulkReceipt } from '#common/contract/bulk.ts';
import { type DeviceId, type FleetId, parseFingerprint } from '#common/identity.ts';
import type { BulkRevocation } from '../authority/bulk-revocation.ts';
import type { BulkTarget } from '../authority/bulk-target.ts';
import type { Certificates } from '../authority/certificates.ts';
import type { RevocationReason } from '../authority/revocation-reason.ts';
import { actorOf } from './door.ts';
import { certificateSchemas } from './schemas/devices.ts';
import { revocationSchemas } from './schemas/revocation.ts';
import { receipt } from './schemas/words.ts';

interface Order {
  reason?: RevocationReason;
  dryRun?: boolean;
  devices?: DeviceId[];
  fingerprints?: string[];
}

export const revocationRoutes =
  (bulk: BulkRevocation, certificates: Certificates) => (app: FastifyInstance) => {
    const { query: querystring, answer, fleet, issuer, order } = revocationSchemas;
    const permission = 'operate' as const;

    const obey = (request: FastifyRequest, target: BulkTarget): Promise<BulkForecast | BulkReceipt> => {
      const { reason = 'unspecified', dryRun = false } = (request.body ?? {}) as Order;
      const asked = (request.query as { dryRun?: boolean }).dryRun ?? false;
      return dryRun || asked ? bulk.forecast(target) : bulk.revoke(target, reason, actorOf(request));
    };

    app.post(
      '/v1/fleets/:fleet/revoke',
      {
        config: { permission },
        schema: { params: fleet, querystring, body: order, response: { 200: answer } },
      },
      async (request) => obey(request, { fleet: (request.params as { fleet: FleetId }).fleet }),
    );

    app.post(
      '/v1/issuers/:issuer/revoke-certificates',
      {
        config: { permission },
        schema: { params: issuer, querystring, body: order, response: { 200: answer } },
      },
      async (request) => obey(request, { issuer: (request.params as { issuer: string }).issuer }),
    );

    app.post(
      '/v1/devices::revoke',
      {
        config: { permission },
        schema: { querystring, body: revocationSchemas.devices, response: { 200: answer } },
      },
      async (request) => obey(request, { devices: (request.body as Order).devices ?? [] }),
    );

    app.post(
      '/v1/certificates::revoke',
      {
        config: { permission },
        bodyLimit: 256 * 1024,
        schema: { querystring, body: revocationSchemas.certificates, response: { 200: answer } },
      },
      async (request) =>
        obey(request, { fingerprints: ((request.body as Order).fingerprints ?? []).map(parseFingerprint) }),
    );

    app.post(
      '/v1/certificates/:fingerprint/reinstate',
      {
        config: { permission },
        schema: { params: certificateSchemas.params, response: { 200: receipt } },
      },
      async (request) => {
        const { fingerprint } = request.params as { fingerprint: string };
        return certificates.reinstate(parseFingerprint(fingerprint), actorOf(request));
      },
    );
  };
