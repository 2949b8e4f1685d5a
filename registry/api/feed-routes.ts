/** The change feed as an NDJSON stream, and the half of the process line that gateways speak. */
import { Readable } from 'node:stream';
import type { FastifyInstance } from 'fastify';
import Type, { type Static } from 'typebox';
import type { Clock } from '#common/clock.ts';
import type { LineAsk, LineAsks } from '#common/contract/enrollment.ts';
import type { Answer, FeedLine, GatewayEnrollment } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Feed } from '../authority/feed.ts';
import type { GatewayRegister } from '../authority/gateway-register.ts';
import type { Gateways } from '../authority/gateways.ts';
import type { LineDesk } from '../authority/line-desk.ts';
import { RemoteGateway } from '../authority/remote-gateway.ts';
import { Bell } from './bell.ts';
import { feedSchemas, gatewaySchemas } from './schemas/admin.ts';

const page = 500;
const heartbeatMs = 2_000;

export interface FeedRoutesParts {
  feed: Feed;
  gateways: Gateways;
  register: GatewayRegister;
  desk: LineDesk;
  clock: Clock;
}

export const feedRoutes = (parts: FeedRoutesParts) => (app: FastifyInstance) => {
  const { feed, gateways, register, desk, clock } = parts;
  const remote = new Map<string, RemoteGateway>();
  const closing = new AbortController();
  // Streams never end by themselves: they must be told before the server can close.
  app.addHook('preClose', async () => closing.abort());

  app.get(
    '/v1/changes',
    { config: { permission: 'join' }, schema: { querystring: feedSchemas.query } },
    async (request, reply) => {
      const { since, gateway: name } = request.query as Static<typeof feedSchemas.query>;
      const bell = new Bell(clock, closing.signal);
      const gateway = name === undefined ? undefined : new RemoteGateway(name, () => bell.ring());
      if (
        gateway &&
        request.caller?.role === 'gateway' &&
        request.caller.actor !== `gateway:${gateway.name}`
      ) {
        throw new Fault('forbidden', 'A gateway follows the feed under its own name.');
      }
      const leave = [feed.follow(() => bell.ring())];
      if (gateway) {
        remote.set(gateway.name, gateway);
        leave.push(
          gateways.attach(gateway),
          () => remote.get(gateway.name) === gateway && remote.delete(gateway.name),
        );
      }
      const stream = Readable.from(linesOf(feed, since, gateway, bell), {
        objectMode: false,
        highWaterMark: 64 * 1024,
      });
      stream.once('close', () => {
        bell.stop();
        for (const each of leave) each();
      });
      return reply.type('application/x-ndjson').send(stream);
    },
  );

  app.post(
    '/v1/gateways',
    {
      config: { permission: 'join' },
      schema: { body: gatewaySchemas.enroll, response: { 201: gatewaySchemas.enrolled } },
    },
    async (request, reply) => {
      if (!request.caller) throw new Fault('unauthenticated', 'This needs a caller.');
      return reply.code(201).send(await register.enroll(request.body as GatewayEnrollment, request.caller));
    },
  );

  app.post(
    '/v1/gateways/:gateway/asks/:kind',
    {
      config: { permission: 'join' },
      bodyLimit: 1024 * 1024,
      schema: { params: gatewaySchemas.ask, body: Type.Unknown() },
    },
    async (request) => {
      const { gateway, kind } = request.params as { gateway: string; kind: LineAsk };
      if (request.caller?.role === 'gateway' && request.caller.actor !== `gateway:${gateway}`) {
        throw new Fault('forbidden', 'A gateway asks under its own name.');
      }
      return desk.answer(kind, request.body as LineAsks[typeof kind]['ask'], gateway);
    },
  );

  app.post(
    '/v1/gateways/:gateway/answers',
    {
      config: { permission: 'join' },
      bodyLimit: 16 * 1024 * 1024,
      schema: { params: gatewaySchemas.params, body: Type.Unknown() },
    },
    async (request, reply) => {
      const { gateway } = request.params as { gateway: string };
      if (request.caller?.role === 'gateway' && request.caller.actor !== `gateway:${gateway}`) {
        throw new Fault('forbidden', 'A gateway answers under its own name.');
      }
      remote.get(gateway)?.answered(request.body as Answer);
      return reply.code(204).send();
    },
  );
};

/** Bare changes for anybody; for a gateway FeedLines with questions and heartbeats. Others get an empty line to live on. */
async function* linesOf(
  feed: Feed,
  since: number,
  gateway: RemoteGateway | undefined,
  bell: Bell,
): AsyncGenerator<string> {
  const write = (line: FeedLine) => `${JSON.stringify(line)}\n`;
  let at = since;
  while (!bell.stopped) {
    const changes = await feed.since(at, page);
    const text = changes
      .map((change) => (gateway ? write({ change }) : `${JSON.stringify(change)}\n`))
      .join('');
    at = changes.at(-1)?.id ?? at;
    const questions = gateway?.takeQuestions().map((question) => write({ question })) ?? [];
    const offers = gateway?.takeOffers().map((offer) => write({ offer })) ?? [];
    if (text !== '' || questions.length + offers.length > 0)
      yield text + questions.join('') + offers.join('');
    if (changes.length > 0) continue;
    yield gateway ? write({ heartbeat: { head: await feed.head() } }) : '\n';
    await bell.wait(heartbeatMs);
  }
}
