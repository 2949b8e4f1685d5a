/** API tokens, the audit, the feed and gateways, as the API takes and gives them. */
import Type from 'typebox';
import { auditBreaks } from '#common/contract/audit-chain.ts';
import type { LineAsk } from '#common/contract/enrollment.ts';
import { apiRoles } from '../../authority/api-tokens.ts';
import { closed, fleetId, nullable, time, words } from './words.ts';

const lineAsks: readonly LineAsk[] = [
  'introduce',
  'renew',
  'est',
  'staple',
  'sighted',
  'suspect',
  'commands',
  'commands-waiting',
  'command-progress',
  'command-reply',
];

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
  page: Type.Object({
    items: Type.Array(
      Type.Object({
        id: Type.Integer(),
        time,
        actor: Type.String(),
        action: Type.String(),
        target: Type.String(),
        // As it is, in its own order: what is hashed is its text.
        detail: Type.Unknown({ description: 'What was written, `before` and `after`.' }),
        previous: Type.String(),
        hash: Type.String(),
      }),
    ),
  }),
  head: Type.Object({ count: Type.Integer(), hash: Type.String(), time: nullable(time) }),
  verdict: Type.Object({
    intact: Type.Boolean(),
    entries: Type.Integer(),
    brokenAt: nullable(Type.Integer()),
    finding: nullable(Type.Object({ what: words(auditBreaks), at: Type.Integer(), sentence: Type.String() })),
    head: Type.Object({ count: Type.Integer(), hash: Type.String() }),
  }),
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
  ask: Type.Object({ gateway: fleetId, kind: words(lineAsks) }),
};
