/** Roles beforehand (what would be allowed, who would lose what) and by attributes. */
import type { FastifyInstance } from 'fastify';
import type { Static } from 'typebox';
import type { RoleDocument } from '#common/contract/directory.ts';
import { Fault } from '#common/fault.ts';
import { parseDeviceId, parseFleetId } from '#common/identity.ts';
import type { Policies, PolicySubject } from '../authority/policies.ts';
import type { PolicyQuestion } from '../authority/policy-test.ts';
import type { RoleAssignments } from '../authority/role-assignments.ts';
import { actorOf } from './door.ts';
import { roleSchemas } from './schemas/fleets.ts';
import { assignmentSchemas, policySchemas } from './schemas/policies.ts';

type Question = Static<typeof policySchemas.question>;

export const policyRoutes = (policies: Policies, assignments: RoleAssignments) => (app: FastifyInstance) => {
  app.post(
    '/v1/policies::test',
    {
      config: { permission: 'read' },
      schema: { body: policySchemas.question, response: { 200: policySchemas.answer } },
    },
    async (request) => {
      const body = request.body as Question;
      return policies.test(subjectOf(body), body as PolicyQuestion, body.role);
    },
  );

  app.post(
    '/v1/roles/:role(^[A-Za-z0-9._-]+)::preview',
    {
      config: { permission: 'read' },
      schema: {
        params: policySchemas.role,
        body: roleSchemas.body,
        response: { 200: policySchemas.previewed },
      },
    },
    async (request) => {
      const body = request.body as Static<typeof roleSchemas.body>;
      const role = { name: (request.params as { role: string }).role, ...body } as RoleDocument;
      return policies.preview(role);
    },
  );

  app.post(
    '/v1/role-assignments',
    {
      config: { permission: 'operate' },
      schema: { body: assignmentSchemas.body, response: { 201: assignmentSchemas.created } },
    },
    async (request, reply) => {
      const { fleet, match, role } = request.body as Static<typeof assignmentSchemas.body>;
      const order = { fleet: fleet ? parseFleetId(fleet) : null, match, role };
      return reply.code(201).send(await assignments.create(order, actorOf(request)));
    },
  );

  app.get(
    '/v1/role-assignments',
    { config: { permission: 'read' }, schema: { response: { 200: assignmentSchemas.list } } },
    async () => ({ items: await assignments.list() }),
  );

  app.delete(
    '/v1/role-assignments/:assignment',
    {
      config: { permission: 'operate' },
      schema: { params: assignmentSchemas.params, response: { 200: assignmentSchemas.removed } },
    },
    async (request) =>
      assignments.remove((request.params as { assignment: string }).assignment, actorOf(request)),
  );
};

function subjectOf({ device, fleet, attributes, id }: Question): PolicySubject {
  if (device !== undefined && fleet === undefined && attributes === undefined && id === undefined)
    return { device: parseDeviceId(device) };
  if (device !== undefined || fleet === undefined)
    throw new Fault(
      'malformed',
      'Name a device; or a fleet, with the attributes and the id of a device in it.',
    );
  const known = id === undefined ? {} : { id: parseDeviceId(id) };
  return { fleet: parseFleetId(fleet), attributes: attributes ?? {}, ...known };
}
