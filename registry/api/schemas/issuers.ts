/** The registry's own issuing CAs, as the API takes and gives them. */
import Type from 'typebox';
import { issuerStates } from '#common/contract/directory.ts';
import { caSettings } from '../../settings.ts';
import { closed, nullable, receipt, time, words } from './words.ts';

const view = Type.Object({
  id: Type.String(),
  name: Type.String(),
  state: Type.String({
    enum: ['pending', ...issuerStates],
    description: 'One that is pending waits for its certificate, which is signed elsewhere.',
  }),
  subject: nullable(Type.String()),
  notAfter: nullable(time),
  certificates: Type.Integer({ description: 'Of it that are good, be it for renewal alone.' }),
  devices: Type.Integer({
    description: 'That used it last; of those that were never seen, whose newest certificate is of it.',
  }),
  createdAt: time,
  certificate: nullable(Type.String({ description: 'PEM' })),
  csr: nullable(Type.String({ description: 'PEM, while it is pending.' })),
});

const keyLabel = Type.String({ minLength: 1, maxLength: 255, description: 'CKA_LABEL of the pair.' });

export const issuerSchemas = {
  params: Type.Object({ issuer: Type.String({ minLength: 1, maxLength: 64 }) }),
  add: nullable(
    Type.Object(
      {
        name: Type.Optional(Type.String({ minLength: 1, maxLength: 64 })),
        keyType: Type.Optional(words(caSettings.properties.keyType.enum)),
        signer: Type.Optional(
          Type.Union(
            [
              Type.Object({ type: Type.Literal('file') }, closed),
              Type.Object({ type: Type.Literal('pkcs11'), keyLabel }, closed),
            ],
            { description: 'Where its key is; a token is that of `ca.signer`.' },
          ),
        ),
      },
      closed,
    ),
  ),
  certificate: Type.Object({ certificate: Type.String({ minLength: 1, description: 'PEM' }) }, closed),
  view,
  list: Type.Object({ items: Type.Array(view) }),
  removal: Type.Object(
    { dryRun: Type.Optional(Type.Boolean()), force: Type.Optional(Type.Boolean()) },
    closed,
  ),
  removed: Type.Union([
    Type.Object(
      {
        dryRun: Type.Literal(true),
        devices: Type.Integer(),
        certificates: Type.Integer(),
        sessions: Type.Integer(),
        first: Type.Array(Type.String()),
        complete: Type.Boolean(),
      },
      { description: 'Who would lose access; nothing was changed.' },
    ),
    receipt,
  ]),
};
