/** Commands at the registry door: sent, waited for, looked up, withdrawn; and what became of them, as a stream. */
import { Readable } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type { Clock } from '#common/clock.ts';
import { payloadOf } from '#common/contract/command-payload.ts';
import { type DeviceId, parseDeviceId } from '#common/identity.ts';
import { parseDuration } from '#common/quantity.ts';
import type { CommandOutcomes } from '../authority/command-outcomes.ts';
import { type CommandOrder, type CommandQuery, type Commands, makeCommandId } from '../authority/commands.ts';
import type { RegistryDoorSettings } from '../settings.ts';
import { Bell } from './bell.ts';
import { actorOf } from './door.ts';
import { commandSchemas } from './schemas/commands.ts';

export interface CommandRoutesParts {
  commands: Commands;
  outcomes: CommandOutcomes;
  clock: Clock;
  limits: Pick<RegistryDoorSettings, 'maxCommandSize' | 'commandTtl'>;
}

const page = 100;
const heartbeatMs = 2_000;
/** What JSON and base64 make of a payload at most, and the other fields. */
const bodyGrowth = 6;
const bodyMargin = 4 * 1024;

export const commandRoutes =
  ({ commands, outcomes, clock, limits }: CommandRoutesParts) =>
  (app: FastifyInstance) => {
    const closing = new AbortController();
    // Neither streams nor calls that wait end by themselves: they must be told before the server can close.
    app.addHook('preClose', async () => closing.abort());

    app.post(
      '/v1/devices/:device/commands',
      {
        config: { permission: 'command' },
        bodyLimit: limits.maxCommandSize * bodyGrowth + bodyMargin,
        schema: {
          params: commandSchemas.params,
          body: commandSchemas.body,
          response: { 200: commandSchemas.details, 202: commandSchemas.accepted },
        },
      },
      async (request, reply) => {
        const { wait } = request.body as Body;
        const order = orderOf(request, limits.commandTtl);
        const actor = actorOf(request);
        if (wait !== undefined) {
          const gone = AbortSignal.any([closing.signal, goneOf(reply)]);
          return commands.sendAndWait(order, parseDuration(wait), actor, gone);
        }
        const { commandId, state, expiresAt } = await commands.send(order, actor);
        return reply.code(202).send({ commandId, state, expiresAt });
      },
    );

    app.get(
      '/v1/devices/:device/commands',
      {
        config: { permission: 'read' },
        schema: {
          params: commandSchemas.params,
          querystring: commandSchemas.query,
          response: { 200: commandSchemas.list },
        },
      },
      async (request) => commands.list(deviceOf(request.params), request.query as CommandQuery),
    );

    app.get(
      '/v1/devices/:device/commands/:command',
      {
        config: { permission: 'read' },
        schema: { params: commandSchemas.one, response: { 200: commandSchemas.details } },
      },
      async (request) => commands.show(deviceOf(request.params), commandOf(request.params)),
    );

    app.delete(
      '/v1/devices/:device/commands/:command',
      {
        config: { permission: 'command' },
        schema: { params: commandSchemas.one, response: { 200: commandSchemas.summary } },
      },
      async (request) =>
        commands.withdraw(deviceOf(request.params), commandOf(request.params), actorOf(request)),
    );

    app.get(
      '/v1/commands/outcomes',
      { config: { permission: 'read' }, schema: { querystring: commandSchemas.outcomes } },
      async (request, reply) => {
        const { since } = request.query as Static<typeof commandSchemas.outcomes>;
        const bell = new Bell(clock, closing.signal);
        const leave = outcomes.follow(() => bell.ring());
        const stream = Readable.from(linesOf(outcomes, since, bell), { objectMode: false });
        stream.once('close', () => {
          bell.stop();
          leave();
        });
        return reply.type('application/x-ndjson').send(stream);
      },
    );
  };

type Body = Static<typeof commandSchemas.body>;

function orderOf(request: FastifyRequest, defaultTtlMs: number): CommandOrder {
  const { name, ttl, ...asked } = request.body as Body;
  return {
    // An order that is sent again is the same command, even when a crash came before its answer was kept.
    id: request.claim?.keyHash.slice(0, 32) ?? makeCommandId(),
    device: deviceOf(request.params),
    name,
    payload: payloadOf(asked),
    ttlMs: ttl === undefined ? defaultTtlMs : parseDuration(ttl),
  };
}

/** Aborted when the caller has closed its connection. */
function goneOf({ raw }: FastifyReply): AbortSignal {
  const gone = new AbortController();
  raw.once('close', () => gone.abort());
  return gone.signal;
}

/** An empty line says that all is told, and from time to time that the stream lives. */
async function* linesOf(outcomes: CommandOutcomes, since: number, bell: Bell): AsyncGenerator<string> {
  let at = since;
  while (!bell.stopped) {
    const items = await outcomes.since(at, page);
    at = items.at(-1)?.revision ?? at;
    if (items.length > 0) yield items.map((item) => `${JSON.stringify(item)}\n`).join('');
    if (items.length === page) continue;
    yield '\n';
    await bell.wait(heartbeatMs);
  }
}

const deviceOf = (params: unknown): DeviceId => parseDeviceId((params as { device: string }).device);
const commandOf = (params: unknown): string => (params as { command: string }).command;
