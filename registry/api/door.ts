/** The registry door: HTTPS, JSON, OpenAPI. It says who may call what; the authority decides the rest. */
import { hash } from 'node:crypto';
import { Readable } from 'node:stream';
import swagger from '@fastify/swagger';
import fastify, { type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Clock } from '#common/clock.ts';
import type { DoorCertificateSource } from '#common/contract/line.ts';
import { Fault } from '#common/fault.ts';
import type { Logger } from '#common/log.ts';
import type { Caller } from '../authority/api-tokens.ts';
import type { RegistryDoorSettings } from '../settings.ts';
import type { Answers, Claim } from './answers.ts';
import { bearerOf, type Callers, leafOf } from './callers.ts';
import { listenOn } from './listen.ts';
import type { Permission } from './permissions.ts';
import { answerProblem } from './problems.ts';
import { problem } from './schemas/words.ts';

declare module 'fastify' {
  interface FastifyContextConfig {
    permission?: Permission;
  }
  interface FastifyRequest {
    caller: Caller | null;
    claim: Claim | null;
  }
}

export interface RegistryDoorOptions {
  host: string;
  /** A socket that listens already: then `host` and the port of the settings are not asked. */
  fd?: number;
  settings: RegistryDoorSettings;
  doors: DoorCertificateSource;
  callers: Callers;
  answers: Answers;
  clock: Clock;
  log: Logger;
  /** Each adds the routes of one noun. */
  routes: readonly ((app: FastifyInstance) => void)[];
}

export class RegistryDoor implements AsyncDisposable {
  readonly port: number;
  readonly #app: FastifyInstance;

  private constructor(app: FastifyInstance, port: number) {
    this.#app = app;
    this.port = port;
  }

  static async open(options: RegistryDoorOptions): Promise<RegistryDoor> {
    const { doors, settings, host, fd, log } = options;
    const tls = () => ({ key: doors.current.key, cert: doors.current.chain, ca: doors.current.trust });
    const app = fastify({
      https: { ...tls(), requestCert: true, rejectUnauthorized: false, handshakeTimeout: 10_000 },
      bodyLimit: settings.maxBodySize,
      forceCloseConnections: true,
      routerOptions: { ignoreDuplicateSlashes: false, maxParamLength: 256 },
      ajv: { customOptions: { coerceTypes: 'array', removeAdditional: false, allErrors: false } },
    }) as unknown as FastifyInstance;
    doors.onRenewed(() =>
      (app.server as unknown as { setSecureContext(to: object): void }).setSecureContext(tls()),
    );
    app.server.on('OCSPRequest', (_certificate, _issuer, answer) => answer(null, doors.staple()));
    app.server.on('tlsClientError', () => {
      // Scanners and clients that do not trust us: nothing to answer, nothing to log one by one.
    });
    app.setErrorHandler((error, request, reply) => answerProblem(log, error, request, reply));
    app.setNotFoundHandler((request, reply) =>
      answerProblem(
        log,
        new Fault('not-found', `There is nothing at ${request.method} ${request.url}.`),
        request,
        reply,
      ),
    );
    // A JSON content type with an empty body is a body that is not there.
    app.removeContentTypeParser('application/json');
    app.addContentTypeParser('application/json', { parseAs: 'string' }, (_request, body, done) => {
      if (body === '') return done(null, null);
      try {
        done(null, JSON.parse(body as string));
      } catch {
        done(new Fault('malformed', 'The body is not JSON.'));
      }
    });
    addHooks(app, options);
    await app.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Fleetgate registry',
          version: '1',
          description:
            'Fleets, devices, certificates, tokens, roles. Operators call with a token, or with a client certificate.',
        },
        components: { securitySchemes: { token: { type: 'http', scheme: 'bearer' } } },
        security: [{ token: [] }],
      },
      transform: ({ schema, url }) => ({ schema: { ...(schema as object), ...describeErrors(schema) }, url }),
    });
    app.after(() => {
      for (const add of options.routes) add(app);
      app.get('/openapi.json', { config: { permission: 'open' }, schema: { hide: true } }, async () =>
        app.swagger(),
      );
    });
    const address = await app.listen(listenOn({ host, port: settings.port, fd }));
    return new RegistryDoor(app, Number(new URL(address).port));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#app.close();
  }
}

const describeErrors = (schema: unknown) => {
  const { response } = (schema ?? {}) as { response?: object };
  return response ? { response: { ...response, '4xx': problem } } : {};
};

function addHooks(app: FastifyInstance, { callers, answers, clock, log }: RegistryDoorOptions): void {
  const begun = new WeakMap<FastifyRequest, number>();
  app.decorateRequest('caller', null);
  app.decorateRequest('claim', null);

  app.addHook('onRequest', async (request) => {
    begun.set(request, clock.elapsed());
    const permission = request.routeOptions.config.permission;
    if (request.is404 || permission === 'open' || permission === 'token') return;
    if (permission === undefined) throw new Fault('internal', 'This route names no permission.');
    request.caller = await callers.admit(request, permission);
  });

  app.addHook('preHandler', async (request, reply) => {
    const key = request.headers['idempotency-key'];
    if (request.method !== 'POST' || typeof key !== 'string' || key === '') return;
    // EST has answers that are not JSON, and one with a key that must not be kept.
    if (request.routeOptions.config.permission === 'open') return;
    // A stream is not the same twice; what takes one says itself what is done already.
    if (request.body instanceof Readable) return;
    // An enrollment has no caller but the token it brings, a renewal none but its certificate.
    const caller = request.caller?.actor ?? hash('sha256', bearerOf(request) ?? leafOf(request) ?? '', 'hex');
    const kept = await answers.begin(caller, key, `${request.url}\n${JSON.stringify(request.body)}`);
    if ('keyHash' in kept) {
      request.claim = kept;
      return;
    }
    await reply
      .code(kept.status)
      .header('content-type', 'application/json')
      .header('idempotency-replayed', 'true')
      .send(kept.body);
  });

  app.addHook('onSend', async (request, reply, payload) => {
    const { claim } = request;
    if (!claim) return payload;
    request.claim = null;
    // 202 with a problem says "not yet": the next answer will be another.
    const isProblem = String(reply.getHeader('content-type')).startsWith('application/problem+json');
    if (reply.statusCode < 300 && !isProblem && typeof payload === 'string')
      await answers.keep(claim, { status: reply.statusCode, body: payload });
    else answers.forget(claim);
    return payload;
  });

  app.addHook('onResponse', async (request, reply) => {
    const durationMs = Math.round((clock.elapsed() - (begun.get(request) ?? 0)) * 10) / 10;
    const { method, ip } = request;
    const record = {
      method,
      route: request.routeOptions.url ?? null,
      status: reply.statusCode,
      ip,
      durationMs,
      actor: request.caller?.actor ?? null,
    };
    log.debug(record, 'A request was answered.');
  });
}

/** The caller of a route that asks for one. */
export function actorOf(request: FastifyRequest): string {
  if (!request.caller) throw new Fault('unauthenticated', 'This needs a caller.');
  return request.caller.actor;
}
