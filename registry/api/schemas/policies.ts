/** Questions about roles, and their assignments by attributes, as the API takes and answers them. */
import Type from 'typebox';
import { httpMethods, roleActions } from '#common/contract/directory.ts';
import { roleRule, roleSchemas } from './fleets.ts';
import { attributes, closed, deviceId, fleetId, messageLimits, nullable, time, words } from './words.ts';

const value = Type.String({ maxLength: 256 });
const match = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  Type.Union([value, Type.Array(value, { minItems: 1, maxItems: 100 })]),
  { minProperties: 1, maxProperties: 32 },
);
const terms = Type.Object({
  severalSessions: Type.Boolean(),
  lastWord: Type.Boolean(),
  limits: nullable(messageLimits),
});

const assignment = Type.Object({
  id: Type.String(),
  fleet: nullable(Type.String()),
  match,
  role: Type.String(),
  createdAt: time,
});

export const policySchemas = {
  question: Type.Object(
    {
      device: Type.Optional(deviceId),
      id: Type.Optional(deviceId),
      fleet: Type.Optional(fleetId),
      attributes: Type.Optional(attributes),
      role: Type.Optional(fleetId),
      action: words(roleActions),
      topic: Type.String({ minLength: 1, maxLength: 1024 }),
      qos: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 })),
      retain: Type.Optional(Type.Boolean()),
      method: Type.Optional(words(httpMethods)),
    },
    {
      ...closed,
      description: 'Names a device, or a fleet with the attributes (and the id) of one that could be.',
    },
  ),
  answer: Type.Object({
    allowed: Type.Boolean(),
    role: Type.String(),
    from: words(['request', 'device', 'assignment', 'fleet']),
    rule: nullable(Type.Object({ number: Type.Integer(), ...roleRule.properties })),
    qos: nullable(Type.Integer()),
    why: Type.String(),
  }),
  previewed: Type.Object({
    role: Type.String(),
    devices: Type.Integer(),
    changed: Type.Integer(),
    before: nullable(terms),
    after: terms,
    first: Type.Array(
      Type.Object({ device: Type.String(), lost: Type.Array(roleRule), gained: Type.Array(roleRule) }),
    ),
  }),
  role: roleSchemas.params,
};

export const assignmentSchemas = {
  body: Type.Object({ fleet: Type.Optional(nullable(fleetId)), match, role: fleetId }, closed),
  params: Type.Object({ assignment: Type.String({ minLength: 1, maxLength: 64 }) }),
  list: Type.Object({ items: Type.Array(assignment) }),
  created: Type.Object({ ...assignment.properties, devices: Type.Integer() }),
  removed: Type.Object({ devices: Type.Integer() }),
};
