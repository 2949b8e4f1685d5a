/** Commands, as the API takes and gives them. */
import Type from 'typebox';
import { commandIdPattern, commandNamePattern, commandStates } from '#common/contract/command.ts';
import { durationPattern } from '#common/quantity.ts';
import { closed, deviceId, nullable, page, paging, time, words } from './words.ts';

const commandId = Type.String({ pattern: commandIdPattern });
const duration = (description: string) => Type.String({ pattern: durationPattern, description });
const payload = {
  payload: Type.Optional(
    Type.Unknown({ description: 'A text, sent as it is; or any other JSON value, sent as JSON.' }),
  ),
  payloadBase64: Type.Optional(Type.String({ description: 'Other bytes, instead of payload.' })),
};

const summary = {
  commandId: Type.String(),
  device: Type.String(),
  name: Type.String(),
  state: words(commandStates),
  contentType: Type.String(),
  sender: Type.String(),
  createdAt: time,
  expiresAt: time,
  attempts: Type.Integer({ description: 'How often it was handed to the device.' }),
  deliveredAt: nullable(time),
  endedAt: nullable(time),
  replyStatus: nullable(Type.Integer()),
};

const reply = nullable(Type.Object({ status: Type.Integer(), contentType: Type.String(), ...payload }));

export const commandSchemas = {
  params: Type.Object({ device: deviceId }),
  one: Type.Object({ device: deviceId, command: commandId }),
  body: Type.Object(
    {
      name: Type.String({ pattern: commandNamePattern }),
      ...payload,
      contentType: Type.Optional(Type.String({ pattern: '^[\\x20-\\x7e]{1,255}$' })),
      ttl: Type.Optional(duration('How long it waits for the device: registry.commandTtl by default.')),
      wait: Type.Optional(duration('Answer with the reply; 504 when none has come by then.')),
    },
    closed,
  ),
  accepted: Type.Object(
    { commandId: Type.String(), state: words(commandStates), expiresAt: time },
    { description: 'It is on disk.' },
  ),
  query: Type.Object({ state: Type.Optional(words(commandStates)), ...paging }, closed),
  summary: Type.Object(summary),
  list: page(Type.Object(summary)),
  details: Type.Object({ ...summary, ...payload, reply }),
  outcomes: Type.Object(
    {
      since: Type.Integer({ minimum: 0, default: 0, description: 'The revision that was read last.' }),
    },
    closed,
  ),
};
