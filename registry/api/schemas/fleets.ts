/** Fleets, their enrollment tokens, and roles, as the API takes and gives them. */
import Type from 'typebox';
import { httpMethods, roleActions } from '#common/contract/directory.ts';
import { durationPattern } from '#common/quantity.ts';
import { approvals } from '../../authority/fleets.ts';
import { closed, deviceId, fleetId, messageLimits, nullable, time, words } from './words.ts';

const duration = (byDefault: string) => Type.String({ pattern: durationPattern, default: byDefault });
const name = Type.String({ maxLength: 64 });

const fleet = Type.Object({
  id: Type.String(),
  role: Type.String(),
  profile: Type.String(),
  approval: words(approvals),
  grace: Type.String(),
  skew: Type.String(),
  limits: nullable(messageLimits),
  createdAt: time,
});

const token = Type.Object({
  id: Type.String(),
  fleet: Type.String(),
  deviceId: nullable(Type.String()),
  uses: Type.Integer(),
  usesLeft: Type.Integer(),
  expiresAt: time,
  revoked: Type.Boolean(),
});

export const roleRule = Type.Object(
  {
    allow: words(roleActions),
    pattern: Type.String({ minLength: 1, maxLength: 512 }),
    maxQos: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 })),
    retain: Type.Optional(Type.Boolean()),
    methods: Type.Optional(Type.Array(words(httpMethods), { minItems: 1, maxItems: httpMethods.length })),
  },
  closed,
);

export const roleTerms = {
  severalSessions: Type.Boolean({ default: false }),
  lastWord: Type.Optional(Type.Boolean()),
  limits: Type.Optional(messageLimits),
  rules: Type.Array(roleRule, { maxItems: 100 }),
};

export const fleetSchemas = {
  body: Type.Object(
    {
      id: fleetId,
      role: Type.String({ default: 'device', maxLength: 64 }),
      profile: Type.String({ default: 'device', maxLength: 64 }),
      approval: Type.String({ enum: [...approvals], default: 'automatic' }),
      grace: duration('30d'),
      skew: duration('1d'),
      limits: Type.Optional(nullable(messageLimits)),
    },
    closed,
  ),
  patch: Type.Object(
    {
      role: Type.Optional(name),
      profile: Type.Optional(name),
      approval: Type.Optional(words(approvals)),
      grace: Type.Optional(Type.String({ pattern: durationPattern })),
      skew: Type.Optional(Type.String({ pattern: durationPattern })),
      limits: Type.Optional(nullable(messageLimits)),
    },
    closed,
  ),
  params: Type.Object({ fleet: fleetId }),
  view: fleet,
  list: Type.Object({ items: Type.Array(fleet) }),
  details: Type.Object({ ...fleet.properties, devices: Type.Record(Type.String(), Type.Integer()) }),
};

export const tokenSchemas = {
  body: Type.Object(
    {
      deviceId: Type.Optional(deviceId),
      uses: Type.Integer({ minimum: 1, maximum: 10_000_000, default: 1 }),
      ttl: Type.String({ pattern: durationPattern, default: '1h' }),
    },
    closed,
  ),
  params: Type.Object({ token: Type.String({ maxLength: 64 }) }),
  created: Type.Object({ ...token.properties, token: Type.String() }),
  list: Type.Object({ items: Type.Array(token) }),
};

export const roleSchemas = {
  params: Type.Object({ role: fleetId }),
  body: Type.Object(roleTerms, closed),
  view: Type.Object({ name: Type.String(), ...roleTerms }),
};
