/** API tokens, the audit, the feed and gateways, as the API takes and gives them. */
import Type from 'typebox';
import { apiRoles } from '../../authority/api-tokens.ts';
import { closed, fleetId, time, words } from './words.ts';

const apiToken = {
  id: Type.String(),
  name: Type.String(),
  role: words(apiRoles),
  createdAt: time,
  revoked: Type.Boolean(),
};

export const apiTokenSchemas = {
  body: Type.Object({ name: Type.String({ minLength: 1, maxLength: 64 }), role: words(apiRoles) }, closed),
  created: Type.Object({ ...apiToken, token: Type.String() }),
  list: Type.Object({ items: Type.Array(Type.Object(apiToken)) }),
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
  ask: Type.Object({ gateway: fleetId, kind: words(['introduce', 'renew', 'est', 'staple', 'sighted']) }),
};
