/** Orders to revoke many, as the API takes and answers them. */
import Type from 'typebox';
import { closed, closedSessions, deviceId, fingerprint, fleetId, nullable, reason } from './words.ts';

/** Names of one list. */
const mostListed = 1000;
const order = { reason: Type.Optional(reason), dryRun: Type.Optional(Type.Boolean()) };

export const revocationSchemas = {
  fleet: Type.Object({ fleet: fleetId }),
  issuer: Type.Object({ issuer: Type.String({ minLength: 1, maxLength: 64 }) }),
  query: Type.Object({ dryRun: Type.Optional(Type.Boolean()) }, closed),
  order: nullable(Type.Object(order, closed)),
  devices: Type.Object(
    { ...order, devices: Type.Array(deviceId, { minItems: 1, maxItems: mostListed }) },
    closed,
  ),
  certificates: Type.Object(
    { ...order, fingerprints: Type.Array(fingerprint, { minItems: 1, maxItems: mostListed }) },
    closed,
  ),
  answer: Type.Union([
    Type.Object(
      {
        dryRun: Type.Literal(true),
        devices: Type.Integer(),
        certificates: Type.Integer(),
        sessions: Type.Integer(),
        first: Type.Array(Type.String()),
        complete: Type.Boolean(),
      },
      { description: 'What would be cut; nothing was changed.' },
    ),
    Type.Object({
      dryRun: Type.Literal(false),
      changeId: Type.Integer(),
      lots: Type.Integer(),
      devices: Type.Integer(),
      certificates: Type.Integer(),
      sessions: closedSessions,
      complete: Type.Boolean(),
    }),
  ]),
};
