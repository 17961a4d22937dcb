"""A phone made of pjsua2. It takes commands and tells events as baresip's module ctrl_tcp does: JSON in netstrings.

    pjsua.py '{"id": …, "password": …, "domain": …, "server": "host:port", "tone": file, "record": file, "control": port}'

Without a password it does not register, and is called at "address" ("ip:port").
"""

import json
import select
import socket
import sys

import pjsua2 as pj

OPTIONS = json.loads(sys.argv[1])
LOOPBACK = "127.0.0.1"
HOST, PORT = (OPTIONS.get("address") or f"{LOOPBACK}:0").split(":")


class Call(pj.Call):
    def __init__(self, phone, number=pj.PJSUA_INVALID_ID):
        super().__init__(phone, number)
        self.phone = phone

    def onCallState(self, _):
        info = self.getInfo()
        if info.state == pj.PJSIP_INV_STATE_EARLY and info.role == pj.PJSIP_ROLE_UAC:
            self.phone.tell("CALL_RINGING", info)
        elif info.state == pj.PJSIP_INV_STATE_CONFIRMED:
            self.phone.tell("CALL_ESTABLISHED", info)
        elif info.state == pj.PJSIP_INV_STATE_DISCONNECTED:
            self.phone.tell("CALL_CLOSED", info, f"{info.lastStatusCode} {info.lastReason}")
            self.phone.calls.remove(self)

    def onCallMediaState(self, _):
        # The list lives no longer than the information that it is part of.
        info = self.getInfo()
        for media in info.media:
            if media.type == pj.PJMEDIA_TYPE_AUDIO and media.status == pj.PJSUA_CALL_MEDIA_ACTIVE:
                audio = self.getAudioMedia(media.index)
                self.phone.player.startTransmit(audio)
                audio.startTransmit(self.phone.recorder)

    def onDtmfDigit(self, digit):
        self.phone.tell("CALL_DTMF_START", self.getInfo(), digit.digit)


class Phone(pj.Account):
    def __init__(self):
        super().__init__()
        self.calls = []
        self.connection = None
        self.player = pj.AudioMediaPlayer()
        self.player.createPlayer(OPTIONS["tone"])
        self.recorder = pj.AudioMediaRecorder()
        self.recorder.createRecorder(OPTIONS["record"])

    def onRegState(self, state):
        print(f"registration: {state.code} {state.reason}", flush=True)

    def onIncomingCall(self, incoming):
        call = Call(self, incoming.callId)
        self.calls.append(call)
        call.answer(parameter(180))
        self.tell("CALL_INCOMING", call.getInfo())

    def tell(self, event, info, param=""):
        self.send({"event": True, "type": event, "peeruri": info.remoteUri, "param": param})

    def send(self, message):
        text = json.dumps(message).encode()
        if self.connection:
            self.connection.sendall(b"%d:%b," % (len(text), text))

    def do(self, command, params):
        if command == "dial":
            call = Call(self)
            self.calls.append(call)
            call.makeCall(params, pj.CallOpParam(True))
        elif command == "dial-without-offer":
            late = pj.CallOpParam(True)
            late.opt.flag |= pj.PJSUA_CALL_NO_SDP_OFFER
            self.calls.append(Call(self))
            self.calls[-1].makeCall(params, late)
        elif command == "hangup":
            # Before its answer this is a refusal, or a CANCEL.
            self.calls[-1].hangup(parameter(603))
        elif command == "accept":
            self.calls[-1].answer(parameter(200))
        elif command == "hold":
            self.calls[-1].setHold(pj.CallOpParam())
        elif command == "resume":
            again = pj.CallOpParam(True)
            again.opt.flag = pj.PJSUA_CALL_UNHOLD
            self.calls[-1].reinvite(again)
        elif command == "sndcode":
            self.calls[-1].dialDtmf(params)
        else:
            raise ValueError(command)


def parameter(code):
    made = pj.CallOpParam()
    made.statusCode = code
    return made


def start():
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    # The clock of all that sounds; when it stops between two calls, the next one may find it stopping.
    config.medConfig.sndAutoCloseTime = -1
    config.logConfig.consoleLevel = config.logConfig.level = 4
    endpoint.libInit(config)
    transport = pj.TransportConfig()
    transport.boundAddress = HOST
    transport.port = int(PORT)
    endpoint.transportCreate(pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    return endpoint


def account():
    config = pj.AccountConfig()
    config.idUri = f"sip:{OPTIONS['id']}@{OPTIONS['domain']}"
    if OPTIONS.get("password"):
        config.regConfig.registrarUri = f"sip:{OPTIONS['domain']}"
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", OPTIONS["id"], 0, OPTIONS["password"]))
    config.sipConfig.proxies.append(f"sip:{OPTIONS['server']};lr")
    config.mediaConfig.transportConfig.boundAddress = HOST
    return config


def take(buffer, phone):
    """Does what the netstrings in `buffer` say, and gives the rest of it."""
    while b":" in buffer:
        length, rest = buffer.split(b":", 1)
        if len(rest) <= int(length):
            break
        asked = json.loads(rest[: int(length)])
        buffer = rest[int(length) + 1 :]
        try:
            phone.do(asked["command"], asked["params"])
            phone.send({"response": True, "ok": True})
        except Exception as error:  # the test reads why
            phone.send({"response": True, "ok": False, "data": str(error)})
    return buffer


def main():
    endpoint = start()
    phone = Phone()
    phone.create(account())
    control = socket.create_server((LOOPBACK, OPTIONS["control"]))
    sockets, buffer = [control], b""
    while True:
        endpoint.libHandleEvents(5)
        for ready in select.select(sockets, [], [], 0)[0]:
            if ready is control:
                # The last one to connect is the test.
                phone.connection = control.accept()[0]
                sockets = [control, phone.connection]
            elif ready is phone.connection:
                data = ready.recv(65536)
                buffer = take(buffer + data, phone)
                sockets = sockets if data else [control]


main()
