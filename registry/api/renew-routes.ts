/** Renewal by client certificate, and the forecast of a fleet's renewals. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { Clock } from '#common/clock.ts';
import { Fault } from '#common/fault.ts';
import { parseFleetId } from '#common/identity.ts';
import { fingerprintOf } from '#common/x509/fingerprint.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { Forecast } from '../authority/forecast.ts';
import type { Renewal } from '../authority/renewal.ts';
import { type Callers, leafOf } from './callers.ts';
import type { RateLimits } from './rate-limits.ts';
import { renewalSchemas } from './schemas/renewals.ts';

export interface RenewRoutesParts {
  renewal: Renewal;
  forecast: Forecast;
  callers: Callers;
  limits: RateLimits;
  clock: Clock;
}

export const renewRoutes = (parts: RenewRoutesParts) => (app: FastifyInstance) => {
  const { renewal, forecast, callers, limits, clock } = parts;

  app.post(
    '/v1/renew',
    {
      config: { permission: 'token' },
      schema: { body: renewalSchemas.body, response: { 201: renewalSchemas.renewed } },
    },
    async (request, reply) => {
      callers.mayTry(request);
      limits.enrollment(request.ip, clock.now());
      const leaf = leafOf(request);
      if (!leaf) throw new Fault('no-certificate', 'Renew with the client certificate of the device.');
      const { csr } = request.body as Static<typeof renewalSchemas.body>;
      try {
        const actor = `certificate:${fingerprintOf(leaf)}`;
        return await reply.code(201).send(await renewal.renew([leaf], csrDer(csr), actor));
      } catch (thrown) {
        if (Fault.of(thrown).kind === 'unknown-certificate') callers.failed(request);
        throw thrown;
      }
    },
  );

  app.get(
    '/v1/fleets/:fleet/renewals',
    {
      config: { permission: 'read' },
      schema: {
        params: renewalSchemas.params,
        querystring: renewalSchemas.query,
        response: { 200: renewalSchemas.forecast },
      },
    },
    async (request) => {
      const { fleet } = request.params as Static<typeof renewalSchemas.params>;
      const { buckets } = request.query as Static<typeof renewalSchemas.query>;
      return forecast.of(parseFleetId(fleet), buckets);
    },
  );
};
