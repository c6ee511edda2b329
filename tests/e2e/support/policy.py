"""Who may call a function."""


def open_to_all(client, function, **qualifier):
    """A URL without authentication still wants a policy that lets everybody in."""
    client.add_permission(
        FunctionName=function,
        StatementId="everybody",
        Action="lambda:InvokeFunctionUrl",
        Principal="*",
        FunctionUrlAuthType="NONE",
        **qualifier,
    )
