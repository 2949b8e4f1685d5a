/** Answers gateways that ask for the OCSP answer about the certificate of their doors. */
import type { LineAsks } from '#common/contract/enrollment.ts';
import { Fault } from '#common/fault.ts';
import type { OcspResponder } from './ocsp-responder.ts';

type Staple = LineAsks['staple'];

/** Faults `unavailable` while nobody can sign, and for what is no certificate of ours. */
export const stapleDesk =
  (responder: OcspResponder) =>
  async ({ certificate }: Staple['ask']): Promise<Staple['answer']> => {
    if (typeof certificate !== 'string') throw new Fault('malformed', 'A certificate is DER in base64.');
    const about = responder.about(Buffer.from(certificate, 'base64'));
    if (!about) throw new Fault('unavailable', 'There is no OCSP answer about this certificate now.');
    return {
      response: about.der.toString('base64'),
      freshUntilMs: about.keep.freshUntilMs,
      endsAtMs: about.keep.nextUpdateMs,
    };
  };
