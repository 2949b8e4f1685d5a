/** Claims and enrollments that wait, as the API takes and gives them. */
import Type from 'typebox';
import { durationPattern } from '#common/quantity.ts';
import { enrollmentStates } from '../../authority/approvals.ts';
import { closed, fleetId, nullable, page, paging, reason, receipt, time, words } from './words.ts';

const rowId = Type.String({ minLength: 1, maxLength: 64 });

const claim = Type.Object({
  id: Type.String(),
  fleet: Type.String(),
  fingerprint: Type.String(),
  uses: Type.Integer(),
  usesLeft: Type.Integer(),
  enrolled: Type.Integer({ description: 'Devices that it has enrolled.' }),
  expiresAt: time,
  createdAt: time,
  revoked: Type.Boolean(),
});

const pem = Type.String({ description: 'PEM' });

export const claimSchemas = {
  params: Type.Object({ claim: rowId }),
  fleet: Type.Object({ fleet: fleetId }),
  body: Type.Object(
    {
      csr: Type.String({ minLength: 1, description: 'PEM PKCS #10; its subject is not taken over.' }),
      uses: Type.Integer({ minimum: 1, maximum: 1_000_000 }),
      ttl: Type.String({ pattern: durationPattern, description: 'Such as 12h or 30d.' }),
    },
    closed,
  ),
  created: Type.Object({ ...claim.properties, certificate: pem, chain: pem, ca: pem }),
  list: Type.Object({ items: Type.Array(claim) }),
  revoke: nullable(
    Type.Object(
      {
        reason: Type.Optional(reason),
        devices: Type.Optional(Type.Boolean({ description: 'Revoke the devices that it has enrolled too.' })),
        dryRun: Type.Optional(
          Type.Boolean({ description: 'Count what would be ended, and change nothing.' }),
        ),
      },
      closed,
    ),
  ),
  toll: Type.Object({
    dryRun: Type.Literal(true),
    devices: Type.Integer(),
    certificates: Type.Integer(),
    sessions: Type.Integer(),
  }),
};

export const claimRevoked = Type.Union([receipt, claimSchemas.toll]);

const enrollment = Type.Object({
  id: Type.String(),
  fleet: Type.String(),
  deviceId: Type.String(),
  state: words(enrollmentStates),
  source: Type.String(),
  attributes: Type.Record(Type.String(), Type.String()),
  csrHash: Type.String({ description: 'SHA-256 of the DER of the CSR, hex.' }),
  createdAt: time,
  expiresAt: nullable(time),
  decidedAt: nullable(time),
  decidedBy: nullable(Type.String()),
  reason: nullable(Type.String()),
});

export const enrollmentSchemas = {
  params: Type.Object({ enrollment: rowId }),
  query: Type.Object(
    { state: Type.Optional(words(enrollmentStates)), fleet: Type.Optional(fleetId), ...paging },
    closed,
  ),
  decision: nullable(Type.Object({ reason: Type.Optional(Type.String({ maxLength: 256 })) }, closed)),
  view: enrollment,
  list: page(enrollment),
};
