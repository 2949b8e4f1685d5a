/** Every case, chapter by chapter. */
import { connack } from './cases/connack.ts';
import { connecting } from './cases/connect.ts';
import { ending } from './cases/ending.ts';
import { format } from './cases/format.ts';
import { properties } from './cases/properties.ts';
import { publishing } from './cases/publish.ts';
import { qos } from './cases/qos.ts';
import { session } from './cases/session.ts';
import { subscribing } from './cases/subscribe.ts';
import { topics } from './cases/topics.ts';
import { websocket } from './cases/websocket.ts';
import { will } from './cases/will.ts';
import type { Case } from './statement.ts';

/** In the order of the specifications: by version, then by section. */
export const cases: readonly Case[] = [
  ...format,
  ...connecting,
  ...will,
  ...session,
  ...connack,
  ...publishing,
  ...properties,
  ...qos,
  ...subscribing,
  ...topics,
  ...ending,
  ...websocket,
];
