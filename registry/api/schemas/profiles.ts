/** Profiles, as the API takes and gives them. */
import Type from 'typebox';
import { durationPattern } from '#common/quantity.ts';
import { keyTypes, mostTemplates, subjectAttributes } from '../../authority/profile.ts';
import { keyPurposes } from '../../ca/plan.ts';
import { closed, fleetId, words } from './words.ts';

const duration = (byDefault: string, description: string) =>
  Type.String({ pattern: durationPattern, default: byDefault, description });
const template = Type.String({
  minLength: 1,
  maxLength: 256,
  description: 'Text with ${device.id}, ${device.fleet} or ${device.attributes.x} in it.',
});

const terms = {
  validity: duration('365d', 'A minute at least.'),
  backdate: duration('1h', 'How far notBefore lies in the past.'),
  keys: Type.Array(words(keyTypes), {
    minItems: 1,
    maxItems: keyTypes.length,
    default: [...keyTypes],
    description: 'RSA-n takes keys of at least n bits.',
  }),
  subject: Type.Array(Type.Object({ attribute: words(subjectAttributes), value: template }, closed), {
    maxItems: mostTemplates,
    default: [],
    description: 'What follows the CN, which is the device id.',
  }),
  names: Type.Array(Type.Object({ type: words(['uri', 'dns']), value: template }, closed), {
    maxItems: mostTemplates,
    default: [],
    description: 'Subject alternative names beside the SPIFFE ID.',
  }),
  purposes: Type.Array(words(keyPurposes), { minItems: 1, maxItems: 2, default: ['clientAuth'] }),
  maxCertificates: Type.Integer({
    minimum: 2,
    maximum: 100,
    default: 8,
    description: 'Most live certificates of a device.',
  }),
  renewal: Type.Object(
    {
      from: Type.Number({ default: 60, description: 'Percent of the validity.' }),
      to: Type.Number({ default: 80 }),
      retireAfter: duration('1h', 'How long the old certificate is good once the new one was used.'),
    },
    { ...closed, default: {} },
  ),
};

const view = Type.Object({ name: Type.String(), ...terms });

export const profileSchemas = {
  params: Type.Object({ profile: fleetId }),
  /** The name is in the path; a document that was got can be put as it is. */
  body: Type.Object({ name: Type.Optional(Type.String({ maxLength: 64 })), ...terms }, closed),
  view,
  list: Type.Object({ items: Type.Array(view) }),
};
