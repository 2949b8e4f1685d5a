/** Trust anchors of manufacturers, as the API takes and gives them. */
import Type from 'typebox';
import { anchorModes, issuerStates } from '#common/contract/directory.ts';
import { durationPattern } from '#common/quantity.ts';
import { noRevocation, revocationPolicies } from '../../authority/anchor-terms.ts';
import { mappingEncodings, mappingSources } from '../../authority/mapping.ts';
import { attributes, closed, fleetId, nullable, receipt, time, words } from './words.ts';

const pem = Type.String({ minLength: 1, maxLength: 32_768 });
const bundle = Type.String({ maxLength: 32_768 });

const rule = Type.Object(
  {
    from: words(mappingSources),
    type: Type.Optional(Type.String({ pattern: '^[0-9]{1,9}(\\.[0-9]{1,9}){1,19}$' })),
    index: Type.Optional(Type.Integer({ minimum: 0, maximum: 99 })),
    pattern: Type.Optional(Type.String({ minLength: 4, maxLength: 256 })),
    encoding: Type.Optional(words(mappingEncodings)),
  },
  closed,
);

const mapping = Type.Array(rule, { minItems: 1, maxItems: 16 });

const template = Type.Object(
  {
    role: Type.Optional(nullable(Type.String({ maxLength: 64 }))),
    attributes: Type.Optional(attributes),
    state: Type.Optional(words(['active', 'pending'])),
  },
  closed,
);

const revocation = Type.Object(
  {
    policy: words(revocationPolicies),
    crl: Type.Optional(Type.Array(Type.String({ minLength: 1, maxLength: 1024 }), { maxItems: 8 })),
    ocsp: Type.Optional(nullable(Type.String({ maxLength: 1024 }))),
    maxStale: Type.Optional(Type.String({ pattern: durationPattern, default: noRevocation.maxStale })),
  },
  closed,
);

const proof = Type.Object(
  { certificate: Type.Optional(pem), signature: Type.Optional(Type.String({ maxLength: 16_384 })) },
  closed,
);

const view = {
  name: Type.String(),
  state: words(issuerStates),
  fleet: Type.String(),
  enrollment: words(anchorModes),
  subject: Type.String(),
  keyId: nullable(Type.String()),
  fingerprint: Type.String(),
  notAfter: time,
  mapping,
  template,
  revocation,
  statusUntil: nullable(time),
  sources: Type.Array(
    Type.Object({
      source: Type.String(),
      number: nullable(Type.String()),
      entries: Type.Integer(),
      nextUpdate: nullable(time),
      problem: nullable(Type.String()),
    }),
  ),
  createdAt: time,
};

export const anchorSchemas = {
  params: Type.Object({ anchor: fleetId }),
  challenge: Type.Object({ name: fleetId }, closed),
  challenged: Type.Object({ name: Type.String(), nonce: Type.String(), expiresAt: time }),
  body: Type.Object(
    {
      name: fleetId,
      certificate: pem,
      fleet: fleetId,
      mapping,
      enrollment: words(anchorModes),
      template: Type.Optional(template),
      revocation: Type.Optional(revocation),
      intermediates: Type.Optional(bundle),
      proof: Type.Optional(proof),
      possession: Type.Optional(words(['waived'])),
    },
    closed,
  ),
  view: Type.Object(view),
  list: Type.Object({ items: Type.Array(Type.Object(view)) }),
  details: Type.Object({ ...view, intermediates: Type.String(), certificate: Type.String() }),
  removal: Type.Object({ dryRun: Type.Optional(Type.Boolean({ default: false })) }, closed),
  removed: Type.Object({
    name: Type.String(),
    devices: Type.Integer(),
    first: Type.Array(Type.String()),
    receipt: nullable(receipt),
  }),
};
