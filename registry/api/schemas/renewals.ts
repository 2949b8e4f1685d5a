/** Renewals, as the API takes and gives them. */
import Type from 'typebox';
import { enrollSchemas } from './devices.ts';
import { closed } from './words.ts';

export const renewalSchemas = {
  body: Type.Object({ csr: Type.String({ minLength: 1 }) }, closed),
  renewed: enrollSchemas.enrolled,
};
