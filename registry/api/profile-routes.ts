/** Profiles: what the certificates of fleets are like. */
import type { FastifyInstance } from 'fastify';
import { Fault } from '#common/fault.ts';
import type { ProfileDocument } from '../authority/profile.ts';
import type { Profiles } from '../authority/profiles.ts';
import { actorOf } from './door.ts';
import { profileSchemas } from './schemas/profiles.ts';

export const profileRoutes = (profiles: Profiles) => (app: FastifyInstance) => {
  app.get(
    '/v1/profiles',
    { config: { permission: 'read' }, schema: { response: { 200: profileSchemas.list } } },
    async () => ({ items: await profiles.list() }),
  );

  app.get(
    '/v1/profiles/:profile',
    {
      config: { permission: 'read' },
      schema: { params: profileSchemas.params, response: { 200: profileSchemas.view } },
    },
    async (request) => (await profiles.find(nameOf(request.params))).document,
  );

  app.put(
    '/v1/profiles/:profile',
    {
      config: { permission: 'operate' },
      schema: {
        params: profileSchemas.params,
        body: profileSchemas.body,
        response: { 200: profileSchemas.view },
      },
    },
    async (request) => {
      const name = nameOf(request.params);
      const body = request.body as Partial<ProfileDocument>;
      if (body.name !== undefined && body.name !== name)
        throw new Fault('malformed', `The document is of the profile ${body.name}, the path of ${name}.`);
      return profiles.put({ ...(body as ProfileDocument), name }, actorOf(request));
    },
  );
};

const nameOf = (params: unknown): string => (params as { profile: string }).profile;
