/** What the registry API takes and gives, in one place: validation, OpenAPI and TypeScript types come from here. */
import Type, { type TSchema } from 'typebox';
import { certificateStates, deviceStates, roleActions } from '#common/contract/directory.ts';
import { durationPattern } from '#common/quantity.ts';
import { apiRoles } from '../authority/api-tokens.ts';
import { revocationReasons } from '../authority/revocation-reason.ts';

const closed = { additionalProperties: false };
const words = (list: readonly string[]) => Type.String({ enum: [...list] });
const time = Type.String({ format: 'date-time' });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const deviceId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$' });
export const fleetId = Type.String({ pattern: '^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$' });
const fingerprint = Type.String({ pattern: '^[0-9A-Fa-f:]{64,95}$' });
const attributes = Type.Record(
  Type.String({ pattern: '^[A-Za-z0-9_-]{1,64}$' }),
  Type.String({ maxLength: 256 }),
  {
    maxProperties: 32,
  },
);
const reason = words(revocationReasons);

export const problem = Type.Object(
  {
    type: Type.String(),
    title: Type.String(),
    status: Type.Integer(),
    code: Type.String(),
    detail: Type.String(),
  },
  { description: 'RFC 9457; `code` is stable.' },
);

const page = <T extends TSchema>(item: T) =>
  Type.Object({ items: Type.Array(item), nextCursor: nullable(Type.String()) });
const paging = {
  limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
  cursor: Type.Optional(Type.String({ maxLength: 128 })),
};

const fleet = Type.Object({ id: Type.String(), role: Type.String(), createdAt: time });
const token = Type.Object({
  id: Type.String(),
  fleet: Type.String(),
  deviceId: nullable(Type.String()),
  uses: Type.Integer(),
  usesLeft: Type.Integer(),
  expiresAt: time,
  revoked: Type.Boolean(),
});
const certificate = Type.Object({
  serialNumber: Type.String(),
  fingerprint: nullable(Type.String()),
  device: Type.String(),
  fleet: Type.String(),
  state: words(certificateStates),
  notBefore: time,
  notAfter: time,
  revokedAt: nullable(time),
  reason: nullable(Type.String()),
});
const session = Type.Object({
  protocol: Type.String(),
  gateway: Type.String(),
  address: Type.String(),
  clientId: Type.String(),
  fingerprint: Type.String(),
  connectedAt: time,
});
const device = {
  id: Type.String(),
  fleet: Type.String(),
  state: words(deviceStates),
  role: nullable(Type.String()),
  attributes: Type.Record(Type.String(), Type.String()),
  createdAt: time,
  updatedAt: time,
};
const decision = Type.Object({
  time,
  gateway: Type.String(),
  protocol: Type.String(),
  address: Type.String(),
  device: nullable(Type.String()),
  fingerprint: nullable(Type.String()),
  clientId: nullable(Type.String()),
  admitted: Type.Boolean(),
  reason: nullable(Type.String()),
  checks: Type.Array(Type.Object({ name: Type.String(), passed: Type.Boolean(), detail: Type.String() })),
});
const roleRule = Type.Object(
  {
    allow: words(roleActions),
    pattern: Type.String({ minLength: 1, maxLength: 512 }),
    maxQos: Type.Optional(Type.Integer({ minimum: 0, maximum: 2 })),
    retain: Type.Optional(Type.Boolean()),
  },
  closed,
);
const apiToken = {
  id: Type.String(),
  name: Type.String(),
  role: words(apiRoles),
  createdAt: time,
  revoked: Type.Boolean(),
};

export const receipt = Type.Object({
  changeId: Type.Integer(),
  certificates: Type.Array(Type.String()),
  sessions: Type.Array(
    Type.Object({
      protocol: Type.String(),
      gateway: Type.String(),
      address: Type.String(),
      closedAfterMs: Type.Number(),
    }),
  ),
  complete: Type.Boolean(),
});

export const fleetSchemas = {
  body: Type.Object(
    {
      id: fleetId,
      role: Type.String({ default: 'device', maxLength: 64 }),
      profile: Type.Optional(Type.String()),
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

export const enrollSchemas = {
  body: Type.Object(
    { deviceId, csr: Type.String({ minLength: 1 }), attributes: Type.Optional(attributes) },
    closed,
  ),
  enrolled: Type.Object({
    deviceId: Type.String(),
    fleet: Type.String(),
    serialNumber: Type.String(),
    fingerprint: Type.String(),
    notBefore: time,
    notAfter: time,
    certificate: Type.String(),
    chain: Type.String(),
    ca: Type.String(),
  }),
};

export const deviceSchemas = {
  params: Type.Object({ device: deviceId }),
  query: Type.Object(
    {
      fleet: Type.Optional(fleetId),
      state: Type.Optional(words(deviceStates)),
      q: Type.Optional(Type.String({ maxLength: 64 })),
      ...paging,
    },
    closed,
  ),
  patch: Type.Object(
    { attributes: Type.Optional(attributes), role: Type.Optional(nullable(Type.String({ maxLength: 64 }))) },
    closed,
  ),
  revoke: nullable(Type.Object({ reason: Type.Optional(reason) }, closed)),
  list: page(Type.Object(device)),
  details: Type.Object({ ...device, certificates: Type.Array(certificate), sessions: Type.Array(session) }),
};

export const certificateSchemas = {
  params: Type.Object({ fingerprint }),
  query: Type.Object(
    {
      device: Type.Optional(deviceId),
      fleet: Type.Optional(fleetId),
      state: Type.Optional(words(certificateStates)),
      ...paging,
    },
    closed,
  ),
  list: page(certificate),
  details: Type.Object({ ...certificate.properties, certificate: nullable(Type.String()) }),
};

export const roleSchemas = {
  params: Type.Object({ role: fleetId }),
  body: Type.Object(
    { severalSessions: Type.Boolean({ default: false }), rules: Type.Array(roleRule, { maxItems: 100 }) },
    closed,
  ),
  view: Type.Object({ name: Type.String(), severalSessions: Type.Boolean(), rules: Type.Array(roleRule) }),
};

export const apiTokenSchemas = {
  body: Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }), role: words(apiRoles) }, closed),
  created: Type.Object({ ...apiToken, token: Type.String() }),
  list: Type.Object({ items: Type.Array(Type.Object(apiToken)) }),
};

export const decisionSchemas = {
  query: Type.Object(
    {
      fingerprint: Type.Optional(Type.String({ maxLength: 95 })),
      reason: Type.Optional(Type.String({ maxLength: 64 })),
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    },
    closed,
  ),
  list: Type.Object({ items: Type.Array(decision) }),
};

export const feedSchemas = {
  query: Type.Object(
    { since: Type.Integer({ minimum: 0, default: 0 }), gateway: Type.Optional(fleetId) },
    closed,
  ),
};

export const auditSchemas = {
  query: Type.Object(
    {
      since: Type.Integer({ minimum: 0, default: 0 }),
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    },
    closed,
  ),
};

export const gatewaySchemas = {
  enroll: Type.Object(
    {
      name: fleetId,
      csr: Type.String({ minLength: 1 }),
      names: Type.Array(Type.String({ minLength: 1, maxLength: 253 }), { minItems: 1, maxItems: 32 }),
    },
    closed,
  ),
  enrolled: Type.Object({ chain: Type.String(), trust: Type.String(), notAfter: time }),
  params: Type.Object({ gateway: fleetId }),
};
