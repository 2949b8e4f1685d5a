/** The HTTPS door for devices: the same listener, limits and corridor as MQTT; plain node:http behind it. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { TLSSocket } from 'node:tls';
import { timestamp } from '#common/clock.ts';
import type { AskRegistry } from '#common/contract/enrollment.ts';
import { isEstPath } from '#common/contract/est-path.ts';
import { Fault } from '#common/fault.ts';
import { problemHeaders, problemOf } from '#common/http/problem.ts';
import { peerChain } from '#common/x509/peer-chain.ts';
import type { Corridor } from '../admission/verdict.ts';
import type { CommandDesk } from '../commands/desk.ts';
import type { Replies } from '../commands/replies.ts';
import { agreedOnMqtt, httpsDoorNames } from '../door/alpn.ts';
import { Listener, type ListenerOptions } from '../door/listener.ts';
import type { Peer } from '../door/peer.ts';
import { hostOf } from '../door/read-peer.ts';
import type { Wire } from '../door/wire.ts';
import type { CloneWatch } from '../limits/clone-watch.ts';
import type { Meters } from '../limits/meters.ts';
import { denial } from '../sessions/rights.ts';
import type { Sessions } from '../sessions/sessions.ts';
import type { HttpsSettings, MqttSettings } from '../settings.ts';
import type { Audience } from '../telemetry/audience.ts';
import type { Intake } from '../telemetry/intake.ts';
import { HttpCommands } from './commands.ts';
import { Enrollment } from './enrollment.ts';
import { meantBy } from './hono.ts';
import { Receive } from './receive.ts';
import { renewalPath, targetOf } from './routes.ts';
import { HttpSession } from './session.ts';
import { isForMqtt, upgrade } from './upgrade.ts';

/** Where connections go that speak MQTT after all. */
export interface MqttAnnex {
  take(wire: Wire, peer: Peer, acceptedAtMs: number): void;
  /** Everybody is told, and gone when it resolves. */
  end(): Promise<void>;
}

export type HttpDoorOptions = Omit<
  ListenerOptions,
  'port' | 'door' | 'onConnection' | 'onRefused' | 'onFailed' | 'onMisled' | 'alpn'
> & {
  settings: HttpsSettings;
  topics: Pick<MqttSettings, 'maxTopicLength' | 'maxTopicLevels' | 'topics'>;
  corridor: Corridor;
  sessions: Sessions;
  intake: Intake;
  audience: Audience;
  meters: Meters;
  clones: CloneWatch;
  ask: AskRegistry;
  commands: CommandDesk;
  replies: Replies;
  enrollRatePerAddress: number;
  mqtt: MqttAnnex;
};

/**
 * Who is on the other end of a socket: a session, or why there is none. Asked at the first request that needs to know, since
 * EST is also for those who have no certificate yet; of somebody whom the directory does not know, it is found out then.
 */
type Guest = () => HttpSession | Fault | Promise<HttpSession | Fault>;

/** A connection, as its requests need it. */
interface Arrived {
  readonly peer: Peer;
  readonly acceptedAtMs: number;
  readonly guest: Guest;
  /** Requests that are not answered yet. */
  underway: number;
}

/** How late a request that has run out of time may be noticed. */
const deadlineCheckMs = 500;
const maxHeaderBytes = 8 * 1024;

export class HttpDoor implements AsyncDisposable {
  readonly port: number;
  readonly #listener: Listener;
  readonly #server: Server;
  readonly #open: Set<Socket>;
  readonly #mqtt: MqttAnnex;

  private constructor(listener: Listener, server: Server, open: Set<Socket>, mqtt: MqttAnnex) {
    this.#listener = listener;
    this.#server = server;
    this.#open = open;
    this.#mqtt = mqtt;
    this.port = listener.port;
  }

  static async open(options: HttpDoorOptions): Promise<HttpDoor> {
    const { settings, mqtt, sessions } = options;
    const guests = new WeakMap<object, Arrived>();
    const open = new Set<Socket>();
    const desk = new Desk(options);
    const server = createServer(
      {
        maxHeaderSize: maxHeaderBytes,
        headersTimeout: settings.headersTimeout,
        requestTimeout: settings.requestTimeout,
        keepAliveTimeout: settings.keepAliveTimeout,
        connectionsCheckingInterval: deadlineCheckMs,
        insecureHTTPParser: false,
        requireHostHeader: true,
        shouldUpgradeCallback: isForMqtt,
      },
      (request, response) =>
        void attend(guests.get(request.socket)!, (arrived) => desk.serve(arrived, request, response)),
    );
    // It never listens itself, and would not look after its deadlines without being told so.
    server.emit('listening');
    server.on('upgrade', (request, _stream, head) => {
      // Not the stream that comes with the event, which is one around the socket when there is a body.
      const socket = request.socket as TLSSocket;
      const { peer, acceptedAtMs, guest, underway } = guests.get(socket)!;
      // Answers to what was asked before would come in the middle of its frames.
      if (underway > 0) return void socket.destroy();
      void upgrade(request, socket, head, {
        origins: settings.origins,
        guest,
        retire: (session) => sessions.remove(session),
        take: (wire) => {
          open.delete(socket);
          mqtt.take(wire, peer, acceptedAtMs);
        },
      });
    });
    server.on('clientError', (error: NodeJS.ErrnoException, socket) => {
      const status = error.code === 'ERR_HTTP_REQUEST_TIMEOUT' ? '408 Request Timeout' : '400 Bad Request';
      if (socket.writable) socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
      else socket.destroy();
    });
    const listener = await Listener.open({
      ...options,
      door: 'https',
      port: settings.port,
      alpn: httpsDoorNames,
      onRefused: (reason, address) => options.corridor.turnedAway('https', address, reason),
      onFailed: (failure) => options.corridor.failed('https', failure),
      onMisled: (fault, peer) => options.corridor.refuse('https', peer, null, null, fault),
      onConnection: (socket, peer, acceptedAtMs) => {
        if (agreedOnMqtt(socket)) return mqtt.take(socket, peer, acceptedAtMs);
        open.add(socket);
        socket.once('close', () => open.delete(socket));
        guests.set(socket, { peer, acceptedAtMs, guest: guestOf(socket, peer, options), underway: 0 });
        server.emit('connection', socket);
      },
    });
    return new HttpDoor(listener, server, open, mqtt);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#listener.stop();
    // Requests under way are answered; idle connections end at once, the rest with their answer.
    this.#server.closeIdleConnections();
    this.#server.close();
    for (const socket of this.#open) (socket as TLSSocket).destroySoon();
    await this.#mqtt.end();
    await this.#listener[Symbol.asyncDispose]();
  }
}

async function attend(arrived: Arrived, serve: (arrived: Arrived) => Promise<void>): Promise<void> {
  arrived.underway += 1;
  await serve(arrived);
  arrived.underway -= 1;
}

/** Judged once, whatever comes of it; a socket that has closed while something was found out gets no session. */
function guestOf(socket: TLSSocket, peer: Peer, options: HttpDoorOptions): Guest {
  const { corridor } = options;
  const stranger = async () => {
    const finding = await corridor.findOut(peer, peerChain(socket));
    return socket.destroyed
      ? new Fault('unavailable', 'The connection has ended.')
      : HttpSession.admit(socket, peer, options, finding);
  };
  let guest: ReturnType<Guest> | undefined;
  return () => {
    guest ??= corridor.isKnown(peer) ? HttpSession.admit(socket, peer, options) : stranger();
    return guest;
  };
}

/** Answers requests. */
class Desk {
  readonly #receive: Receive;
  readonly #enrollment: Enrollment;
  readonly #commands: HttpCommands;
  readonly #options: HttpDoorOptions;

  constructor(options: HttpDoorOptions) {
    this.#options = options;
    this.#receive = new Receive(options);
    this.#commands = new HttpCommands(options);
    this.#enrollment = new Enrollment({ ...options, ratePerAddress: options.enrollRatePerAddress });
  }

  async serve({ peer, guest }: Arrived, request: IncomingMessage, response: ServerResponse): Promise<void> {
    if (isEstPath(request.url ?? '')) return this.#serveEst(peer, request, response);
    try {
      const session = await guest();
      if (session instanceof Fault) return this.#refuse(session, response, { close: true });
      const { status, body } = await this.#answer(session, request, response);
      send(
        response,
        status,
        { 'content-type': 'application/json' },
        request.method === 'HEAD' ? '' : JSON.stringify(body),
      );
    } catch (thrown) {
      const fault = Fault.of(thrown);
      // A renewal is no message: the registry counts it.
      if (request.url !== renewalPath) this.#options.metrics.messagesRefusedTotal.inc({ reason: fault.kind });
      this.#refuse(fault, response);
    }
  }

  async #serveEst(peer: Peer, request: IncomingMessage, response: ServerResponse): Promise<void> {
    try {
      const { status, headers, body } = await this.#enrollment.est(request, hostOf(peer.address));
      if (!request.complete) response.shouldKeepAlive = false;
      send(response, status, headers, request.method === 'HEAD' ? '' : body);
    } catch (thrown) {
      this.#refuse(Fault.of(thrown), response);
    }
  }

  async #answer(
    session: HttpSession,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<{ status: number; body: unknown }> {
    const asked = { method: request.method ?? '', url: request.url ?? '' };
    const { topics } = this.#options.topics;
    const { method, url } = topics.includes('hono') ? meantBy(asked, session.entry) : asked;
    const target = targetOf(method, url);
    const [path = '', search = ''] = url.split('?', 2);
    if (!session.rights.mayRequest(path, method))
      throw denial(
        session.rights,
        new Fault('forbidden', 'The role of this device does not grant this path.'),
      );
    switch (target.what) {
      case 'event':
        return { status: 202, body: await this.#receive.one(session, request, target.class, target.channel) };
      case 'batch':
        return { status: 202, body: await this.#receive.batch(session, request) };
      case 'me':
        return { status: 200, body: me(session) };
      case 'commands':
        return {
          status: 200,
          body: await this.#commands.poll(session, new URLSearchParams(search), response),
        };
      case 'reply': {
        const query = new URLSearchParams(search);
        return { status: 200, body: await this.#commands.reply(session, target.command, query, request) };
      }
      case 'renew':
        return { status: 201, body: await this.#enrollment.renew(request, hostOf(session.peer.address)) };
    }
  }

  #refuse(fault: Fault, response: ServerResponse, { close } = { close: false }): void {
    const { log } = this.#options;
    if (fault.kind === 'internal') log.error({ error: fault.cause }, 'A device request failed inside.');
    if (response.headersSent || response.destroyed) return void response.destroy();
    const problem = problemOf(fault);
    const { allow } = fault.fields;
    // What is left of the body is not read: the connection cannot be used again. Nor can one that was refused.
    const unread = !response.req.complete;
    if (unread || close) response.shouldKeepAlive = false;
    const headers = { ...problemHeaders(fault), ...(typeof allow === 'string' && { allow }) };
    send(response, problem.status, headers, JSON.stringify(problem));
  }
}

function send(response: ServerResponse, status: number, headers: Record<string, string>, body: string): void {
  response.writeHead(status, { ...headers, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}

const me = ({ entry, rights }: HttpSession) => ({
  device: entry.device,
  fleet: entry.fleet,
  role: entry.role,
  fingerprint: entry.fingerprint,
  serialNumber: entry.serialNumber,
  notBefore: timestamp(entry.notBeforeMs),
  notAfter: timestamp(entry.notAfterMs),
  renewAfter: entry.renewAfterMs === null ? null : timestamp(entry.renewAfterMs),
  scope: rights.renewalOnly ? 'renewal' : 'whole',
});
