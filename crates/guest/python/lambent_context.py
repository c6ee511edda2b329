"""The context object that a handler is given, with the attributes Lambda documents."""

import os
import time


class LambdaContext:
    def __init__(self, headers, client_context, cognito_identity):
        environ = os.environ
        self.aws_request_id = _text(headers.get(b"lambda-runtime-aws-request-id", b""))
        self.log_group_name = environ.get("AWS_LAMBDA_LOG_GROUP_NAME")
        self.log_stream_name = environ.get("AWS_LAMBDA_LOG_STREAM_NAME")
        self.function_name = environ.get("AWS_LAMBDA_FUNCTION_NAME")
        self.memory_limit_in_mb = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        self.function_version = environ.get("AWS_LAMBDA_FUNCTION_VERSION")
        self.invoked_function_arn = _text(headers.get(b"lambda-runtime-invoked-function-arn", b""))
        tenant_id = headers.get(b"lambda-runtime-aws-tenant-id")
        self.tenant_id = _text(tenant_id) if tenant_id else None
        self.client_context = _filled(ClientContext, client_context)
        if self.client_context is not None:
            self.client_context.client = _filled(Client, self.client_context.client)
        self.identity = CognitoIdentity(cognito_identity)
        self._epoch_deadline_time_in_ms = int(headers.get(b"lambda-runtime-deadline-ms") or 0)

    def get_remaining_time_in_millis(self):
        return max(0, self._epoch_deadline_time_in_ms - int(time.time() * 1000))

    def log(self, msg):
        import lambent_log

        lambent_log.write_text(str(msg))

    def __repr__(self):
        return _shown(self, (
            "aws_request_id", "log_group_name", "log_stream_name", "function_name",
            "memory_limit_in_mb", "function_version", "invoked_function_arn", "client_context",
            "identity", "tenant_id"))


class CognitoIdentity:
    __slots__ = ("cognito_identity_id", "cognito_identity_pool_id")

    def __init__(self, given):
        given = given or {}
        self.cognito_identity_id = given.get("cognitoIdentityId")
        self.cognito_identity_pool_id = given.get("cognitoIdentityPoolId")

    def __repr__(self):
        return _shown(self, self.__slots__)


class ClientContext:
    __slots__ = ("custom", "env", "client")

    def __repr__(self):
        return _shown(self, self.__slots__)


class Client:
    __slots__ = ("installation_id", "app_title", "app_version_name", "app_version_code",
                 "app_package_name")

    def __repr__(self):
        return _shown(self, self.__slots__)


def _filled(kind, given):
    if given is None:
        return None
    filled = kind()
    for name in kind.__slots__:
        setattr(filled, name, given.get(name))
    return filled


def _shown(item, names):
    return "%s([%s])" % (
        type(item).__name__, ",".join("%s=%s" % (name, getattr(item, name)) for name in names))


def _text(value):
    return value.decode("utf-8", "replace")
