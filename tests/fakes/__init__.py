"""
Fakes of the clouds' own services, on real sockets: what hands out credentials, and what is asked with them.

They stand in for services that can't be had on this machine; the vendors' own libraries talk to them, told where by
the variables that these know. Each holds that it was asked as the vendor's documentation has it.
"""
