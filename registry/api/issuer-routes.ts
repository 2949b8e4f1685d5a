/** The registry's own issuing CAs: made, preferred, drained, removed, and who still depends on them. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { IssuerCensus } from '../authority/issuer-census.ts';
import type { IssuerOrder, IssuerRollover } from '../authority/issuer-rollover.ts';
import { certificatesOf } from '../ca/offline.ts';
import { actorOf } from './door.ts';
import { issuerSchemas } from './schemas/issuers.ts';

export const issuerRoutes = (rollover: IssuerRollover, census: IssuerCensus) => (app: FastifyInstance) => {
  const { params, view } = issuerSchemas;
  const [read, administer] = [{ permission: 'read' as const }, { permission: 'administer' as const }];

  app.get('/v1/issuers', { config: read, schema: { response: { 200: issuerSchemas.list } } }, async () => ({
    items: await census.list(),
  }));

  app.get(
    '/v1/issuers/:issuer',
    { config: read, schema: { params, response: { 200: view } } },
    async (request) => census.show(idOf(request.params)),
  );

  app.post(
    '/v1/issuers',
    { config: administer, schema: { body: issuerSchemas.add, response: { 201: view } } },
    async (request, reply) => {
      const id = await rollover.add((request.body ?? {}) as IssuerOrder, actorOf(request));
      return reply.code(201).send(await census.show(id));
    },
  );

  app.post(
    '/v1/issuers/:issuer/certificate',
    { config: administer, schema: { params, body: issuerSchemas.certificate, response: { 200: view } } },
    async (request) => {
      const id = idOf(request.params);
      const { certificate } = request.body as Static<typeof issuerSchemas.certificate>;
      await census.show(id);
      const [issuing] = certificatesOf(certificate, 'the certificate of the issuing CA');
      await rollover.import(id, issuing!, actorOf(request));
      return census.show(id);
    },
  );

  for (const verb of ['prefer', 'drain'] as const) {
    app.post(
      `/v1/issuers/:issuer/${verb}`,
      { config: administer, schema: { params, response: { 200: view } } },
      async (request) => {
        const id = idOf(request.params);
        await rollover[verb](id, actorOf(request));
        return census.show(id);
      },
    );
  }

  app.delete(
    '/v1/issuers/:issuer',
    {
      config: administer,
      schema: { params, querystring: issuerSchemas.removal, response: { 200: issuerSchemas.removed } },
    },
    async (request) => {
      const id = idOf(request.params);
      const { dryRun, force = false } = request.query as Static<typeof issuerSchemas.removal>;
      return dryRun ? census.toll(id) : rollover.remove(id, { force }, actorOf(request));
    },
  );
};

const idOf = (params: unknown): string => (params as { issuer: string }).issuer;
