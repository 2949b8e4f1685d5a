/** Enrollment: the call that is authenticated by an enrollment token or a claim certificate. */
import type { FastifyInstance, FastifyRequest } from 'fastify';
import type { Static } from 'typebox';
import type { Clock } from '#common/clock.ts';
import type { IssuedCertificate } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import { parseDeviceId } from '#common/identity.ts';
import type { Metrics } from '#common/metrics.ts';
import { csrDer } from '#common/x509/pem.ts';
import type { Credential } from '../authority/credential.ts';
import type { Enrollment } from '../authority/enroll.ts';
import { bearerOf, type Callers, chainOf } from './callers.ts';
import type { RateLimits } from './rate-limits.ts';
import { enrollSchemas } from './schemas/devices.ts';

export interface EnrollRoutesParts {
  enrollment: Enrollment;
  callers: Callers;
  limits: RateLimits;
  metrics: Metrics;
  clock: Clock;
  /** Longest CSR, bytes of DER. */
  maxCsrBytes: number;
}

export const enrollRoutes = (parts: EnrollRoutesParts) => (app: FastifyInstance) => {
  const { enrollment, callers, limits, metrics, clock, maxCsrBytes } = parts;

  async function enroll(request: FastifyRequest): Promise<IssuedCertificate> {
    callers.mayTry(request);
    limits.enrollment(request.ip, clock.now());
    const credential = credentialOf(request);
    const { deviceId, csr, attributes = {} } = request.body as Static<typeof enrollSchemas.body>;
    // PEM is a third longer than DER: judged before it is decoded.
    if (csr.length > maxCsrBytes * 1.5) throw tooLarge(maxCsrBytes);
    const der = csrDer(csr);
    if (der.length > maxCsrBytes) throw tooLarge(maxCsrBytes);
    return enrollment.enroll({
      credential,
      fleet: null,
      device: parseDeviceId(deviceId),
      csr: der,
      attributes,
    });
  }

  app.post(
    '/v1/enroll',
    {
      config: { permission: 'token' },
      schema: {
        body: enrollSchemas.body,
        response: { 201: enrollSchemas.enrolled, 202: enrollSchemas.waits },
      },
    },
    async (request, reply) => {
      try {
        const enrolled = await enroll(request);
        metrics.enrollmentsTotal.inc({ result: 'issued', reason: 'none' });
        metrics.certificates.inc({ state: 'issued' });
        return reply.code(201).send(enrolled);
      } catch (thrown) {
        const fault = Fault.of(thrown);
        const result = fault.kind === 'approval-pending' ? 'pending' : 'refused';
        metrics.enrollmentsTotal.inc({ result, reason: fault.kind });
        if (fault.kind === 'token-invalid' || fault.kind === 'claim-invalid') callers.failed(request);
        throw thrown;
      }
    },
  );
};

/** A token goes before a certificate: whoever sends one means it. */
function credentialOf(request: FastifyRequest): Credential {
  const secret = bearerOf(request);
  if (secret !== undefined) return { secret };
  const chain = chainOf(request);
  if (chain.length > 0) return { chain };
  throw new Fault(
    'unauthenticated',
    'Send the enrollment token, "Authorization: Bearer <token>", or connect with a claim certificate.',
  );
}

const tooLarge = (bytes: number) =>
  new Fault('csr-too-large', `A CSR has at most ${bytes} bytes of DER here.`);
