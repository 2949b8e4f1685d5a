/** Builds the registry, with the parts of assembly/: nothing else of this tower constructs. Opened in order, closed in reverse. */
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import type { RegistryLine } from '#common/contract/line.ts';
import { urlOf } from '#common/http/url.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { OpsDoor } from '#common/ops-door.ts';
import { Answers } from './api/answers.ts';
import { Callers } from './api/callers.ts';
import { RegistryDoor } from './api/door.ts';
import { RateLimits } from './api/rate-limits.ts';
import { openCertification } from './assembly/certification.ts';
import { layGround } from './assembly/ground.ts';
import { openNouns } from './assembly/nouns.ts';
import { startPeriodicWork } from './assembly/periodic-work.ts';
import { routesOf } from './assembly/routes.ts';
import type { EnrollmentStep } from './authority/enroll.ts';
import type { RolloverStep } from './authority/issuer-rollover.ts';
import { LineDesk } from './authority/line-desk.ts';
import type { RenewalStep } from './authority/renewal.ts';
import { stapleDesk } from './authority/staple-desk.ts';
import { Est } from './est/est.ts';
import type { RegistrySettings } from './settings.ts';

export interface RegistryOptions {
  dataDir: string;
  host: string;
  settings: RegistrySettings;
  /** Descriptors of sockets that listen already, for the doors that have one. */
  sockets?: { readonly registry?: number; readonly pki?: number; readonly ops?: number };
  trustDomain: string;
  metrics: Metrics;
  log: Logger;
  clock: Clock;
  /** Further DNS names and addresses of the server certificate. */
  doorNames?: readonly string[];
  /** For a registry that runs alone: its own metrics and probes. A gateway in the same process has a door for both. */
  opsPort?: number;
  /** Told before each step of an enrollment, a renewal, or the making of an issuer. */
  observe?: (step: EnrollmentStep | RenewalStep | RolloverStep) => void;
}

export interface Registry extends AsyncDisposable {
  /** For a gateway in the same process. */
  readonly line: RegistryLine;
  /** Where the directory is kept, for other processes of this machine to read. */
  readonly directoryFile: string;
  readonly urls: { readonly registry: string; readonly pki: string; readonly ops?: string };
  /** PEM bundle: root and issuing CAs. */
  readonly caFile: string;
  readonly adminTokenFile: string;
  close(): Promise<void>;
}

/** Faults `conflict` when another process holds the folder or wrote it with a newer program. */
export async function openRegistry(options: RegistryOptions): Promise<Registry> {
  const { dataDir, host, settings, sockets, metrics, log, clock, observe = () => {} } = options;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  await using opened = new AsyncDisposableStack();

  const ground = layGround(options, opened);
  const { store, directory, gateways } = ground;
  const certification = await openCertification(options, ground, opened);
  const { doors, issuers, pkiUrl } = certification;
  const nouns = await openNouns({ ...options, observe }, ground, certification, opened);
  const { enrollment, renewal, fleets, profiles, sightings, suspicions, foreign, apiTokens } = nouns;

  const adminTokenFile = join(dataDir, 'admin.token');
  await nouns.roles.seed();
  await profiles.seed(settings.ca);
  await apiTokens.seed(adminTokenFile);
  const abandoned = await nouns.issuance.abandonReservations();
  if (abandoned > 0) log.warn({ abandoned }, 'Enrollments that a crash had cut short were abandoned.');
  const ocsp = await certification.publish();

  const limits = new RateLimits(settings.registry);
  const est = new Est({
    enrollment,
    renewal,
    directory,
    fleets,
    profiles,
    caCertificates: () => [issuers.trust],
    limits,
    metrics,
    clock,
    log,
    settings: settings.registry,
  });
  const desk = new LineDesk({
    staple: stapleDesk(ocsp),
    est: (ask) => est.answer(ask),
    sighted: ({ sightings: seen }) => sightings.report(seen),
    suspect: (report, gateway) => suspicions.suspect(report, gateway),
    renew: ({ chain, csr }, gateway) =>
      renewal.renew(chain.map(fromBase64), fromBase64(csr), `gateway:${gateway}`),
    commands: (ask) => nouns.commandDelivery.waitingFor(ask),
    'commands-waiting': ({ devices }) => nouns.commandDelivery.whoHasSome(devices),
    'command-progress': ({ progress }) => nouns.commandDelivery.report(progress),
    'command-reply': (reply, gateway) => nouns.commandReplies.record(reply, gateway),
    introduce: ({ chain }, gateway) => foreign.introductions.introduce(chain, gateway),
  });

  const { refresh } = await startPeriodicWork(nouns, options, opened);

  const callers = new Callers({
    tokens: apiTokens,
    gateways: nouns.register,
    operators: nouns.operators,
    limits,
    clock,
  });
  const door = opened.use(
    await RegistryDoor.open({
      host,
      fd: sockets?.registry,
      settings: settings.registry,
      doors,
      callers,
      answers: new Answers({ ...ground.parts, ttlMs: settings.registry.idempotencyTtl }),
      clock,
      log,
      routes: routesOf(nouns, { settings, metrics, clock, callers, limits, est, desk }),
    }),
  );

  const probes = { store: () => store.probe() };
  const ops =
    options.opsPort === undefined
      ? undefined
      : opened.use(
          await OpsDoor.open({ host, port: options.opsPort, fd: sockets?.ops, metrics, probes, refresh }),
        );

  const stack = opened.move();
  const close = () => stack.disposeAsync();
  return {
    directoryFile: store.path,
    line: {
      directory,
      doors,
      attach: (gateway) => gateways.attach(gateway),
      ask: async (kind, ask) => desk.answer(kind, ask, 'embedded'),
    },
    urls: {
      registry: urlOf('https', host, door.port),
      pki: pkiUrl,
      ...(ops && { ops: urlOf('http', host, ops.port) }),
    },
    caFile: join(dataDir, 'ca', 'ca.crt'),
    adminTokenFile,
    close,
    [Symbol.asyncDispose]: close,
  };
}

const fromBase64 = (text: string): Buffer => Buffer.from(text, 'base64');
