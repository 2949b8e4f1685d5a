/** Operators, as the API takes and gives them. */
import Type from 'typebox';
import { durationPattern } from '#common/quantity.ts';
import { closed, fleetId, time } from './words.ts';

const operator = {
  name: Type.String(),
  role: Type.String(),
  fingerprint: Type.String(),
  notAfter: time,
  createdAt: time,
  revoked: Type.Boolean(),
};

export const operatorSchemas = {
  body: Type.Object(
    {
      name: fleetId,
      role: fleetId,
      csr: Type.String({ minLength: 1, maxLength: 24 * 1024 }),
      ttl: Type.String({ pattern: durationPattern, default: '90d' }),
      replace: Type.Boolean({ default: false }),
    },
    closed,
  ),
  params: Type.Object({ operator: fleetId }),
  list: Type.Object({ items: Type.Array(Type.Object(operator)) }),
  created: Type.Object({
    ...operator,
    serialNumber: Type.String(),
    certificate: Type.String(),
    chain: Type.String(),
    ca: Type.String(),
  }),
};
