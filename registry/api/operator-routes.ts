/** Operators by client certificate: made, listed, revoked. By the role admin alone. */
import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import { parseDuration } from '#common/quantity.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { Operators } from '../authority/operators.ts';
import { actorOf } from './door.ts';
import { operatorSchemas } from './schemas/operators.ts';

export const operatorRoutes = (operators: Operators) => (app: FastifyInstance) => {
  const config = { permission: 'administer' as const };

  app.post(
    '/v1/operators',
    { config, schema: { body: operatorSchemas.body, response: { 201: operatorSchemas.created } } },
    async (request, reply) => {
      const { name, role, csr, ttl, replace } = request.body as Static<typeof operatorSchemas.body>;
      const order = { name, role, csr: csrDer(csr), ttlMs: parseDuration(ttl), replace };
      return reply.code(201).send(await operators.create(order, actorOf(request)));
    },
  );

  app.get('/v1/operators', { config, schema: { response: { 200: operatorSchemas.list } } }, async () => ({
    items: await operators.list(),
  }));

  app.delete(
    '/v1/operators/:operator',
    { config, schema: { params: operatorSchemas.params, response: { 204: Type.Null() } } },
    async (request, reply) => {
      await operators.revoke((request.params as { operator: string }).operator, actorOf(request));
      return reply.code(204).send();
    },
  );
};
