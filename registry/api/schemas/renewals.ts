/** Renewals, as the API takes and gives them. */
import Type from 'typebox';
import { enrollSchemas } from './devices.ts';
import { closed, fleetId, time } from './words.ts';

export const renewalSchemas = {
  body: Type.Object({ csr: Type.String({ minLength: 1 }) }, closed),
  renewed: enrollSchemas.enrolled,
  params: Type.Object({ fleet: fleetId }),
  query: Type.Object({ buckets: Type.Integer({ minimum: 1, maximum: 400, default: 90 }) }, closed),
  forecast: Type.Object({
    fleet: Type.String(),
    buckets: Type.Array(Type.Object({ from: time, renewals: Type.Integer() })),
    later: Type.Integer(),
    overdue: Type.Integer(),
    expired: Type.Integer(),
  }),
};
