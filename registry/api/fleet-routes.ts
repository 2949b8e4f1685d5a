/** Fleets, their enrollment tokens, and roles. */
import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import type { RoleDocument } from '#common/contract/directory.ts';
import { type DeviceId, type FleetId, parseFleetId } from '#common/identity.ts';
import { parseDuration } from '#common/quantity.ts';
import type { Approval, Fleets } from '../authority/fleets.ts';
import type { Roles } from '../authority/roles.ts';
import type { Tokens } from '../authority/tokens.ts';
import { actorOf } from './door.ts';
import { fleetSchemas, roleSchemas, tokenSchemas } from './schemas/fleets.ts';

export const fleetRoutes = (fleets: Fleets, tokens: Tokens, roles: Roles) => (app: FastifyInstance) => {
  app.post(
    '/v1/fleets',
    {
      config: { permission: 'operate' },
      schema: { body: fleetSchemas.body, response: { 201: fleetSchemas.view } },
    },
    async (request, reply) => {
      const {
        id,
        role,
        profile,
        approval,
        grace,
        skew,
        limits = null,
      } = request.body as Static<typeof fleetSchemas.body>;
      const order = {
        role,
        profile,
        approval: approval as Approval,
        graceMs: parseDuration(grace),
        skewMs: parseDuration(skew),
        limits,
      };
      return reply.code(201).send(await fleets.create(parseFleetId(id), order, actorOf(request)));
    },
  );

  app.get(
    '/v1/fleets',
    { config: { permission: 'read' }, schema: { response: { 200: fleetSchemas.list } } },
    async () => ({
      items: await fleets.list(),
    }),
  );

  app.get(
    '/v1/fleets/:fleet',
    {
      config: { permission: 'read' },
      schema: { params: fleetSchemas.params, response: { 200: fleetSchemas.details } },
    },
    async (request) => fleets.show(fleetOf(request.params)),
  );

  app.patch(
    '/v1/fleets/:fleet',
    {
      config: { permission: 'operate' },
      schema: { params: fleetSchemas.params, body: fleetSchemas.patch, response: { 200: fleetSchemas.view } },
    },
    async (request) => {
      const { role, profile, approval, grace, skew, limits } = request.body as Static<
        typeof fleetSchemas.patch
      >;
      const to = {
        role,
        profile,
        approval: approval as Approval | undefined,
        graceMs: grace === undefined ? undefined : parseDuration(grace),
        skewMs: skew === undefined ? undefined : parseDuration(skew),
        limits,
      };
      return fleets.change(fleetOf(request.params), to, actorOf(request));
    },
  );

  app.post(
    '/v1/fleets/:fleet/tokens',
    {
      config: { permission: 'enroll' },
      schema: {
        params: fleetSchemas.params,
        body: tokenSchemas.body,
        response: { 201: tokenSchemas.created },
      },
    },
    async (request, reply) => {
      const { deviceId, uses, ttl } = request.body as Static<typeof tokenSchemas.body>;
      const ask = { deviceId: deviceId as DeviceId | undefined, uses, ttlMs: parseDuration(ttl) };
      return reply.code(201).send(await tokens.create(fleetOf(request.params), ask, actorOf(request)));
    },
  );

  app.get(
    '/v1/fleets/:fleet/tokens',
    {
      config: { permission: 'read' },
      schema: { params: fleetSchemas.params, response: { 200: tokenSchemas.list } },
    },
    async (request) => ({
      items: await tokens.list(fleetOf(request.params)),
    }),
  );

  app.delete(
    '/v1/tokens/:token',
    {
      config: { permission: 'enroll' },
      schema: { params: tokenSchemas.params, response: { 204: Type.Null() } },
    },
    async (request, reply) => {
      await tokens.revoke((request.params as { token: string }).token, actorOf(request));
      return reply.code(204).send();
    },
  );

  app.get(
    '/v1/roles',
    {
      config: { permission: 'read' },
      schema: { response: { 200: Type.Object({ items: Type.Array(roleSchemas.view) }) } },
    },
    async () => ({
      items: await roles.list(),
    }),
  );

  app.get(
    '/v1/roles/:role',
    {
      config: { permission: 'read' },
      schema: { params: roleSchemas.params, response: { 200: roleSchemas.view } },
    },
    async (request) => roles.show((request.params as { role: string }).role),
  );

  app.put(
    '/v1/roles/:role',
    {
      config: { permission: 'operate' },
      schema: { params: roleSchemas.params, body: roleSchemas.body, response: { 200: roleSchemas.view } },
    },
    async (request) => {
      const body = request.body as Static<typeof roleSchemas.body>;
      const role = { name: (request.params as { role: string }).role, ...body } as RoleDocument;
      return roles.put(role, actorOf(request));
    },
  );
};

const fleetOf = (params: unknown): FleetId => parseFleetId((params as { fleet: string }).fleet);
