/** API tokens, the audit, and the status of the whole. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { ApiTokens } from '../authority/api-tokens.ts';
import type { Audit } from '../authority/audit.ts';
import type { Status } from '../authority/status.ts';
import { actorOf } from './door.ts';
import { apiTokenSchemas, auditSchemas } from './schemas/admin.ts';

export const adminRoutes = (tokens: ApiTokens, audit: Audit, status: Status) => (app: FastifyInstance) => {
  app.post(
    '/v1/api-tokens',
    {
      config: { permission: 'administer' },
      schema: { body: apiTokenSchemas.body, response: { 201: apiTokenSchemas.created } },
    },
    async (request, reply) => {
      const { name, role } = request.body as Static<typeof apiTokenSchemas.body>;
      return reply.code(201).send(await tokens.create(name, role as 'viewer', actorOf(request)));
    },
  );

  app.get(
    '/v1/api-tokens',
    { config: { permission: 'administer' }, schema: { response: { 200: apiTokenSchemas.list } } },
    async () => ({
      items: await tokens.list(),
    }),
  );

  app.delete('/v1/api-tokens/:id', { config: { permission: 'administer' } }, async (request, reply) => {
    await tokens.revoke((request.params as { id: string }).id, actorOf(request));
    return reply.code(204).send();
  });

  app.get(
    '/v1/audit',
    {
      config: { permission: 'read' },
      schema: { querystring: auditSchemas.query, response: { 200: auditSchemas.page } },
    },
    async (request) => {
      const { since, limit } = request.query as Static<typeof auditSchemas.query>;
      return { items: await audit.list(since, limit) };
    },
  );

  app.get(
    '/v1/audit/verdict',
    {
      config: { permission: 'read' },
      schema: { response: { 200: auditSchemas.verdict } },
    },
    async () => audit.verify(),
  );

  app.get(
    '/v1/audit/head',
    { config: { permission: 'read' }, schema: { response: { 200: auditSchemas.head } } },
    async () => audit.head(),
  );

  app.get('/v1/status', { config: { permission: 'read' } }, async () => status.read());
};
