/** Devices, certificates and decisions, as the API takes and gives them. */
import Type from 'typebox';
import { certificateStates, deviceStates } from '#common/contract/directory.ts';
import { suspicionReasons } from '#common/contract/suspicion.ts';
import {
  attributes,
  closed,
  deviceId,
  fingerprint,
  fleetId,
  messageLimits,
  nullable,
  page,
  paging,
  problem,
  reason,
  time,
  words,
} from './words.ts';

const certificate = Type.Object({
  issuer: Type.String(),
  serialNumber: Type.String(),
  fingerprint: nullable(Type.String()),
  device: Type.String(),
  fleet: Type.String(),
  state: words(certificateStates),
  notBefore: time,
  notAfter: time,
  renewAfter: nullable(time),
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

/** A device that seems to be two. */
const suspicion = Type.Object({
  since: time,
  at: time,
  gateway: Type.String(),
  reason: words(suspicionReasons),
  score: Type.Number(),
  places: Type.Array(Type.Object({ address: Type.String(), at: time })),
});

const device = {
  id: Type.String(),
  fleet: Type.String(),
  state: words(deviceStates),
  role: nullable(Type.String()),
  assignedRole: nullable(Type.String()),
  attributes: Type.Record(Type.String(), Type.String()),
  limits: nullable(messageLimits),
  suspicion: nullable(suspicion),
  createdAt: time,
  updatedAt: time,
};

const checks = Type.Array(
  Type.Object({ name: Type.String(), passed: Type.Boolean(), detail: Type.String() }),
);

/** The certificate that was shown by one that was refused. */
const leaf = Type.Object({
  subject: Type.String(),
  issuer: Type.String(),
  serialNumber: Type.String(),
  notBefore: time,
  notAfter: time,
  names: Type.Array(Type.String()),
});

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
  message: nullable(Type.String({ description: 'Why, and what to do next.' })),
  count: Type.Integer({ description: 'Connections that it stands for: those over a limit, of one second.' }),
  leaf: nullable(leaf),
  leafProblem: nullable(Type.String({ description: 'Why the certificate cannot be read, and where.' })),
  checks,
});

/** What would come of a certificate now. */
const outlook = Type.Object({
  gateway: Type.String(),
  fingerprint: Type.String(),
  serialNumber: Type.String(),
  notAfter: time,
  admitted: Type.Boolean(),
  reason: nullable(Type.String()),
  message: nullable(Type.String()),
  checks,
});

const explanation = {
  verdict: Type.String({ description: 'In one sentence.' }),
  advice: nullable(Type.String({ description: 'What the operator can do.' })),
  items: Type.Array(decision),
};

export const enrollSchemas = {
  waits: Type.Object(
    { ...problem.properties, enrollment: Type.Optional(Type.String()) },
    { description: 'An operator has to approve it: ask again after Retry-After, with the same CSR.' },
  ),
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
    renewAfter: time,
    certificate: Type.String(),
    chain: Type.String(),
    ca: Type.String(),
  }),
};

export const importSchemas = {
  /** One line of the request. */
  line: Type.Object(
    {
      id: deviceId,
      fleet: fleetId,
      role: Type.Optional(nullable(Type.String({ maxLength: 64 }))),
      attributes: Type.Optional(attributes),
      state: Type.Optional(words(['active', 'pending'])),
      csr: Type.Optional(Type.String({ minLength: 1, description: 'PEM PKCS #10, to enroll it at once.' })),
    },
    closed,
  ),
  /** One line of the answer. */
  result: Type.Object({
    line: Type.Integer({ description: 'Counting from 1.' }),
    id: nullable(Type.String()),
    status: words(['registered', 'enrolled', 'done', 'refused']),
    code: Type.Optional(Type.String()),
    detail: Type.Optional(Type.String()),
    fingerprint: Type.Optional(Type.String()),
    notAfter: Type.Optional(time),
    certificate: Type.Optional(Type.String()),
    chain: Type.Optional(Type.String()),
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
    {
      attributes: Type.Optional(attributes),
      role: Type.Optional(nullable(Type.String({ maxLength: 64 }))),
      limits: Type.Optional(nullable(messageLimits)),
    },
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

export const decisionSchemas = {
  query: Type.Object(
    {
      fingerprint: Type.Optional(Type.String({ maxLength: 95 })),
      reason: Type.Optional(Type.String({ maxLength: 64 })),
      address: Type.Optional(
        Type.String({ maxLength: 64, description: 'IP address, or IP address and port.' }),
      ),
      serial: Type.Optional(
        Type.String({ pattern: '^[0-9A-Fa-f:]+$', maxLength: 160, description: 'Serial number, hex.' }),
      ),
      limit: Type.Integer({ minimum: 1, maximum: 1000, default: 100 }),
    },
    closed,
  ),
  list: Type.Object(explanation),
  ofDevice: Type.Object({
    ...explanation,
    device: nullable(Type.Object({ id: Type.String(), fleet: Type.String(), state: Type.String() })),
    outlook: Type.Array(outlook),
  }),
};
