/** Assembles what certifies: the PKI door, the issuing CAs, the certificates of the doors, CRLs and OCSP. */
import { hostname } from 'node:os';
import { join } from 'node:path';
import type { Clock } from '#common/clock.ts';
import { urlOf } from '#common/http/url.ts';
import type { Logger } from '#common/log.ts';
import type { Metrics } from '#common/metrics.ts';
import { type PkiContent, PkiDoor } from '../api/pki-door.ts';
import { CertificateStatuses } from '../authority/certificate-status.ts';
import { recordHouseCertificate } from '../authority/house-certificates.ts';
import { Issuers } from '../authority/issuers.ts';
import { OcspIssuers } from '../authority/ocsp-issuers.ts';
import { laterAnswer, OcspResponder } from '../authority/ocsp-responder.ts';
import { RevocationLists } from '../authority/revocation-lists.ts';
import { DoorCertificates } from '../ca/door-certificates.ts';
import { IssuerKeys } from '../ca/issuer-keys.ts';
import type { CertificatePlan } from '../ca/plan.ts';
import type { RegistrySettings } from '../settings.ts';
import type { Ground } from './ground.ts';

/** The part of the registry's options that its PKI needs. */
export interface CertificationOptions {
  readonly dataDir: string;
  readonly host: string;
  readonly settings: RegistrySettings;
  readonly sockets?: { readonly pki?: number };
  readonly metrics: Metrics;
  readonly log: Logger;
  readonly clock: Clock;
  readonly doorNames?: readonly string[];
}

/** The PKI door, the issuers behind it, and the certificates of the doors. `publish` adds CRLs and OCSP. */
export type Certification = Awaited<ReturnType<typeof openCertification>>;

export async function openCertification(
  { dataDir, host, settings, sockets, metrics, log, clock, doorNames = [] }: CertificationOptions,
  { store, parts, feed }: Ground,
  opened: AsyncDisposableStack,
) {
  // The door opens before there is anything behind it, since certificates carry its address.
  let pkiContent: PkiContent = {
    certificates: () => ({}),
    crl: () => undefined,
    ocsp: () => laterAnswer,
  };
  const { pki: pkiSettings } = settings;
  const pki = opened.use(
    await PkiDoor.open({
      host,
      port: pkiSettings.port,
      fd: sockets?.pki,
      maxOcspRequest: pkiSettings.maxOcspRequest,
      content: {
        certificates: () => pkiContent.certificates(),
        crl: (name) => pkiContent.crl(name),
        ocsp: (request) => pkiContent.ocsp(request),
      },
      clock,
      log,
    }),
  );
  const pkiUrl = urlOf('http', host, pki.port);
  const pkiBase = (pkiSettings.url ?? pkiUrl).replace(/\/$/, '');
  const { writer } = store;
  const record = recordHouseCertificate(writer, clock);
  const keys = new IssuerKeys(dataDir, settings.ca, clock);
  const issuers = opened.use(await Issuers.open({ ...parts, keys, pkiBase, log }));
  pkiContent = { ...pkiContent, certificates: () => issuers.certificates };
  const recordPlan = (purpose: 'door' | 'gateway') => (plan: CertificatePlan, issuer: string, name: string) =>
    record({ issuer, serial: plan.serialNumber, purpose, name, not_after_ms: plan.notAfterMs });
  let responder: OcspResponder | undefined;
  const names = ['localhost', '127.0.0.1', '::1', hostname(), ...doorNames];
  const doors = opened.use(
    await DoorCertificates.open({
      issuers,
      record: (plan, issuer) => recordPlan('door')(plan, issuer, plan.commonName),
      staple: (certificate) => responder?.about(certificate)?.der ?? null,
      names: [...new Set(names)],
      lifetimeMs: settings.ca.doorLifetime,
      clock,
      log,
    }),
  );
  opened.defer(feed.follow(({ kind }) => kind === 'issuer-changed' && doors.reconsider()));

  /** After what a crash had cut short is cleared away. */
  const publish = async () => {
    const statuses = opened.use(CertificateStatuses.open(store.path));
    const ocspIssuers = opened.use(
      await OcspIssuers.open({
        issuers,
        feed,
        record,
        lifetimeMs: settings.ca.ocspSignerLifetime,
        clock,
        log,
      }),
    );
    const ocsp = new OcspResponder({
      issuers: () => ocspIssuers.all,
      statusOf: (issuer, serial) => statuses.of(issuer, serial),
      commits: () => writer.commits,
      lifetimeMs: pkiSettings.ocspLifetime,
      clock,
      log,
    });
    responder = ocsp;
    const lists = opened.use(
      await RevocationLists.open({
        issuers,
        feed,
        writer,
        store: store.path,
        dir: join(dataDir, 'crl'),
        lifetimeMs: pkiSettings.crlLifetime,
        metrics,
        clock,
        log,
      }),
    );
    pkiContent = {
      certificates: () => issuers.certificates,
      crl: (name) => lists.find(name),
      ocsp: (request) => ocsp.answer(request),
    };
    return ocsp;
  };

  return { keys, issuers, doors, pkiUrl, recordPlan, publish };
}
